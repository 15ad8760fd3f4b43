/*
 * fill_keystore FROM TO [DOMAIN]: puts records FROM … TO-1 into the keystore of $KVMCRYPT_KEYSTORE, as `create`
 * would, without images, and with DOMAIN as disks of a domain of that name; thousands in a transaction, but for the
 * last 200, whose median in microseconds it prints.
 */
#include "bench/timing.h"
#include "keystore/internal.h"
#include "keystore/store/sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MEASURED 200u	/* puts by themselves, at the end */

static const char *domain;

static int make_one(unsigned long i, struct record **ret_record, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	int ret = record_new(&r, e);
	if (ret < 0)
		return ret;
	uuid_generate_random(r->uuid);
	uuid_generate_random(r->luks_uuid);
	r->generation = 1;
	r->state = RECORD_READY;
	if (asprintf(&r->path, "/var/lib/libvirt/images/tenant-%03lu/volume-%08lu.qcow2", i % 997, i) < 0)
		return error_oom(e);
	r->format = RECORD_FORMAT_QCOW2;
	r->size = UINT64_C(20) << 30;
	r->luks_version = 1;
	r->digest_len = 20;
	memcpy(r->digest, r->luks_uuid, 16);
	strcpy(r->cipher, "aes-xts-plain64");
	r->key_bits = 512;
	r->sector_size = 512;
	r->created = r->rotated = (int64_t)time(NULL);
	ret = domain ? record_add_domain(r, r->uuid, domain, "vda", e) : 0;
	if (ret == 0)
		ret = secret_generate_passphrase(&r->passphrase, e);
	if (ret == 0)
		ret = secret_random(64, &r->volume_key, e);
	r->revealed = 1;
	if (ret == 0)
		*ret_record = TAKE_PTR(r);
	return ret;
}

static int put_one(struct keystore *ks, unsigned long i, struct error *e)
{
	AUTORECORD struct record *r = NULL;
	int ret = make_one(i, &r, e);
	return ret < 0 ? ret : keystore_put(ks, r, "create", NULL, e);
}

#define IN_ONE 2000u

/* Records from … to - 1, at most IN_ONE of them, in one transaction. */
static int put_many(struct keystore *ks, unsigned long from, unsigned long to, struct error *e)
{
	static struct keystore_change changes[IN_ONE];
	size_t n = 0;
	int ret = 0;
	for (unsigned long i = from; i < to && ret == 0; i++) {
		changes[n].record = NULL;
		ret = make_one(i, &changes[n++].record, e);
	}
	if (ret == 0)
		ret = keystore_apply(ks, changes, n, "create", NULL, e);
	for (size_t i = 0; i < n; i++)
		record_free(changes[i].record);
	return ret;
}

/* For filling only: a cache for all of it, and a journal that is not copied all the time. */
static void set_up(struct keystore *ks, bool fill)
{
	sqlite3 *db = ks->store->db;
	sqlite3_exec(db, fill ? "PRAGMA cache_size=-1500000; PRAGMA synchronous=OFF" :
				"PRAGMA cache_size=-8192; PRAGMA synchronous=FULL", NULL, NULL, NULL);
	sqlite3_wal_autocheckpoint(db, fill ? 100000 : 20);
	if (!fill)
		sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

int main(int argc, char **argv)
{
	AUTOKEYSTORE struct keystore *ks = NULL;
	struct error e = { 0 };
	double last[MEASURED];
	if (argc != 3 && argc != 4)
		return 2;
	domain = argc == 4 ? argv[3] : NULL;
	unsigned long from = strtoul(argv[1], NULL, 10), to = strtoul(argv[2], NULL, 10);
	AUTOFREE char *location = NULL;
	if (keystore_location(NULL, &location, &e) < 0 || keystore_open(location, &ks, &e) < 0 ||
	    keystore_unseal_auto(ks, &e) < 0) {
		fprintf(stderr, "%s\n", e.message);
		return 1;
	}
	unsigned long i = from, measured = to - from < MEASURED ? from : to - MEASURED;
	set_up(ks, true);
	for (unsigned long n; i < measured; i += n) {
		n = measured - i < IN_ONE ? measured - i : IN_ONE;
		if (put_many(ks, i, i + n, &e) < 0) {
			fprintf(stderr, "%lu: %s\n", i, e.message);
			return 1;
		}
	}
	set_up(ks, false);
	for (; i < to; i++) {
		double began = now_us();
		if (put_one(ks, i, &e) < 0) {
			fprintf(stderr, "%lu: %s\n", i, e.message);
			return 1;
		}
		last[i % MEASURED] = now_us() - began;
	}
	size_t n = to - from < MEASURED ? to - from : MEASURED;
	qsort(last, n, sizeof(*last), compare);
	printf("%.0f\n", last[n / 2]);
	return 0;
}
