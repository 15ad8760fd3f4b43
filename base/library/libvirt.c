/* libvirt: what this program calls of it. */
static void (*before)(void), (*after)(void);
/* Many of these wait for a daemon. */
#define LIBRARY_BEGIN() (before ? before() : (void)0)
#define LIBRARY_END() (after ? after() : (void)0)

#include "base/library/define.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#define FAILS -1

#define FUNCTIONS(F, Z, V, FREE) \
	F(int, virConnectClose, 1, virConnectPtr) \
	F(int, virConnectGetLibVersion, 2, virConnectPtr, unsigned long *) \
	F(int, virConnectIsSecure, 1, virConnectPtr) \
	F(int, virConnectListAllDomains, 3, virConnectPtr, virDomainPtr **, unsigned int) \
	F(int, virConnectListAllNWFilterBindings, 3, virConnectPtr, virNWFilterBindingPtr **, unsigned int) \
	F(int, virConnectListAllSecrets, 3, virConnectPtr, virSecretPtr **, unsigned int) \
	F(int, virDomainAttachDeviceFlags, 3, virDomainPtr, const char *, unsigned int) \
	F(int, virDomainBlockCopy, 6, virDomainPtr, const char *, const char *, virTypedParameterPtr, int, \
	  unsigned int) \
	F(int, virDomainBlockJobAbort, 3, virDomainPtr, const char *, unsigned int) \
	F(int, virDomainBlockResize, 4, virDomainPtr, const char *, unsigned long long, unsigned int) \
	F(int, virDomainCreate, 1, virDomainPtr) \
	F(int, virDomainDetachDeviceFlags, 3, virDomainPtr, const char *, unsigned int) \
	F(int, virDomainFree, 1, virDomainPtr) \
	F(int, virDomainGetAutostart, 2, virDomainPtr, int *) \
	F(int, virDomainGetBlockJobInfo, 4, virDomainPtr, const char *, virDomainBlockJobInfoPtr, unsigned int) \
	F(int, virDomainGetUUID, 2, virDomainPtr, unsigned char *) \
	F(int, virDomainGetMessages, 3, virDomainPtr, char ***, unsigned int) \
	F(int, virDomainHasManagedSaveImage, 2, virDomainPtr, unsigned int) \
	F(int, virDomainIsActive, 1, virDomainPtr) \
	F(int, virDomainIsPersistent, 1, virDomainPtr) \
	F(int, virDomainListAllSnapshots, 3, virDomainPtr, virDomainSnapshotPtr **, unsigned int) \
	F(int, virDomainSnapshotFree, 1, virDomainSnapshotPtr) \
	F(int, virDomainUpdateDeviceFlags, 3, virDomainPtr, const char *, unsigned int) \
	F(int, virGetLastErrorCode, 0) \
	F(int, virNWFilterBindingFree, 1, virNWFilterBindingPtr) \
	F(int, virNWFilterFree, 1, virNWFilterPtr) \
	F(int, virSecretFree, 1, virSecretPtr) \
	F(int, virSecretSetValue, 4, virSecretPtr, const unsigned char *, size_t, unsigned int) \
	F(int, virSecretUndefine, 1, virSecretPtr) \
	F(int, virStoragePoolFree, 1, virStoragePoolPtr) \
	F(int, virStoragePoolIsActive, 1, virStoragePoolPtr) \
	F(int, virStorageVolFree, 1, virStorageVolPtr) \
	F(int, virStoragePoolDestroy, 1, virStoragePoolPtr) \
	F(int, virStoragePoolRefresh, 2, virStoragePoolPtr, unsigned int) \
	F(int, virStorageVolDownload, 5, virStorageVolPtr, virStreamPtr, unsigned long long, unsigned long long, \
	  unsigned int) \
	F(int, virStorageVolGetInfoFlags, 3, virStorageVolPtr, virStorageVolInfoPtr, unsigned int) \
	F(int, virStreamFree, 1, virStreamPtr) \
	F(int, virStreamRecv, 3, virStreamPtr, char *, size_t) \
	F(int, virStreamAbort, 1, virStreamPtr) \
	Z(char *, virConnectGetCapabilities, 1, virConnectPtr) \
	Z(char *, virConnectGetHostname, 1, virConnectPtr) \
	Z(char *, virConnectGetDomainCapabilities, 6, virConnectPtr, const char *, const char *, const char *, \
	  const char *, unsigned int) \
	Z(char *, virConnectGetURI, 1, virConnectPtr) \
	Z(virConnectPtr, virConnectOpen, 1, const char *) \
	Z(virConnectPtr, virConnectOpenAuth, 3, const char *, virConnectAuthPtr, unsigned int) \
	Z(virConnectPtr, virDomainGetConnect, 1, virDomainPtr) \
	Z(const char *, virDomainGetName, 1, virDomainPtr) \
	Z(char *, virDomainGetXMLDesc, 2, virDomainPtr, unsigned int) \
	Z(char *, virDomainManagedSaveGetXMLDesc, 2, virDomainPtr, unsigned int) \
	Z(virDomainPtr, virDomainDefineXML, 2, virConnectPtr, const char *) \
	Z(virDomainPtr, virDomainLookupByID, 2, virConnectPtr, int) \
	Z(virDomainPtr, virDomainLookupByName, 2, virConnectPtr, const char *) \
	Z(virDomainPtr, virDomainLookupByUUID, 2, virConnectPtr, const unsigned char *) \
	Z(virDomainPtr, virDomainLookupByUUIDString, 2, virConnectPtr, const char *) \
	Z(const char *, virDomainSnapshotGetName, 1, virDomainSnapshotPtr) \
	Z(char *, virDomainSnapshotGetXMLDesc, 2, virDomainSnapshotPtr, unsigned int) \
	Z(const char *, virNWFilterBindingGetFilterName, 1, virNWFilterBindingPtr) \
	Z(const char *, virNWFilterBindingGetPortDev, 1, virNWFilterBindingPtr) \
	Z(char *, virNWFilterGetXMLDesc, 2, virNWFilterPtr, unsigned int) \
	Z(virNWFilterPtr, virNWFilterLookupByName, 2, virConnectPtr, const char *) \
	Z(virErrorPtr, virGetLastError, 0) \
	Z(char *, virSecretGetXMLDesc, 2, virSecretPtr, unsigned int) \
	Z(virSecretPtr, virSecretDefineXML, 3, virConnectPtr, const char *, unsigned int) \
	Z(virSecretPtr, virSecretLookupByUUID, 2, virConnectPtr, const unsigned char *) \
	V(virSetErrorFunc, 2, void *, virErrorFunc) \
	Z(char *, virStoragePoolGetXMLDesc, 2, virStoragePoolPtr, unsigned int) \
	Z(virStoragePoolPtr, virStoragePoolLookupByName, 2, virConnectPtr, const char *) \
	Z(virStoragePoolPtr, virStoragePoolCreateXML, 3, virConnectPtr, const char *, unsigned int) \
	Z(virStoragePoolPtr, virStoragePoolLookupByTargetPath, 2, virConnectPtr, const char *) \
	Z(virStorageVolPtr, virStorageVolLookupByPath, 2, virConnectPtr, const char *) \
	Z(virStreamPtr, virStreamNew, 2, virConnectPtr, unsigned int) \
	Z(char *, virStorageVolGetPath, 1, virStorageVolPtr) \
	Z(virStorageVolPtr, virStorageVolLookupByName, 2, virStoragePoolPtr, const char *)

LIBRARY(libvirt_load, "libvirt", "libvirt0", ERROR_LIBVIRT, FUNCTIONS, NULL, "libvirt.so.0")
LIBRARY_NOTE("libvirt", "Guests", "recommended", "\"libvirt.so.0\"")

void libvirt_around(void (*begin)(void), void (*end)(void))
{
	before = begin;
	after = end;
}
