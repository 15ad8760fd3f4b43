# kvmcrypt. `make help` lists the targets.
VERSION   := 0.2.0
CC        ?= gcc
BUILD     ?= build
JOBS      ?= $(shell nproc)
prefix    ?= /usr/local
bindir    ?= $(prefix)/bin
mandir    ?= $(prefix)/share/man
bashdir   ?= $(prefix)/share/bash-completion/completions
zshdir    ?= $(prefix)/share/zsh/site-functions
fishdir   ?= $(prefix)/share/fish/vendor_completions.d
unitdir   ?= $(prefix)/lib/systemd/system

# What is compiled against but loaded on demand (base/library/) is not linked.
LIBS      := nettle sqlite3 json-c libkeyutils uuid
HEADERS   := augeas audit libcryptsetup devmapper blkid openssl libvirt libxml-2.0
PKGS_BUILD := gcc make pkg-config libcryptsetup-dev libdevmapper-dev libblkid-dev libssl-dev nettle-dev libsqlite3-dev \
              libjson-c-dev libvirt-dev libxml2-dev libkeyutils-dev uuid-dev libaugeas-dev libaudit-dev
# Libraries come with their -dev packages, whatever they are called in a release. a/b: tests/lib/install-packages.
# The ways to unseal: systemd-cryptenroll is there with systemd, the others bring what they are named after.
PKGS_RUN  := qemu-utils qemu-system-common cryptsetup-bin systemd systemd-cryptsetup/systemd libtss2-dev tpm2-tools \
             clevis curl jose libp11-kit0 libfido2-1
# libvirt-daemon-system brings the user that QEMU runs as.
PKGS_GUEST := qemu-system-x86 libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients seabios \
              busybox-static cpio kmod jq zstd xz-utils
PKGS_TEST := $(PKGS_GUEST) libcmocka-dev clang libclang-rt-dev/libclang-rt-14-dev shellcheck strace expect \
             keyutils dmsetup udev lvm2 libnbd-bin e2fsprogs sqlite3 mandoc zsh fish bash-completion procps \
             psmisc time binutils libxml2-utils auditd nftables libvirt-daemon-config-nwfilter swtpm tang clevis-luks \
             socat p11-kit softhsm2 opensc openssl xxd openssh-server sasl2-bin libsasl2-modules-gssapi-mit krb5-kdc \
             krb5-admin-server krb5-user iproute2
# systemctl and systemd-analyze come with systemd, which is among PKGS_RUN.
PKGS_REBOOT := debootstrap

# What pkg-config says is asked once, and only by targets that compile.
CFLAGS    ?= -O2 -g
# A warning is an error for who changes the program (lint, check, test), never for who builds it: the next
# compiler has new ones.
WERROR    ?=
WARN       = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla $(if $(WERROR),-Werror)
# glibc takes it with optimisation only, and a distribution brings its own.
OPTIMISED := $(filter-out -O0,$(lastword $(filter -O%,$(CFLAGS) $(EXTRA_CFLAGS))))
FORTIFY   := $(if $(findstring _FORTIFY_SOURCE,$(CPPFLAGS) $(CFLAGS)),,$(if $(OPTIMISED),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2))
HARDEN    := -fstack-protector-strong $(FORTIFY) -fPIE
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -DKVMCRYPT_VERSION='"$(VERSION)"' -I. $(HARDEN) \
             $(shell pkg-config --cflags $(LIBS) $(HEADERS) 2>/dev/null) $(CPPFLAGS) $(CFLAGS) $(EXTRA_CFLAGS)
ALL_LIBS   = $(shell pkg-config --libs $(LIBS) 2>/dev/null) -ldl
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now $(LDFLAGS) $(EXTRA_CFLAGS)
ALL_CFLAGS := $(ALL_CFLAGS)
ALL_LIBS  := $(ALL_LIBS)

LIB_SRC   := $(shell find base keystore lib -name "*.c")
CMD_SRC   := $(wildcard cmd/*.c)
UNIT_SRC  := $(wildcard tests/unit/test_*.c)
FUZZ_SRC  := $(wildcard tests/fuzz/fuzz_*.c)
FAULT_TOOLS := $(addprefix $(BUILD)/fault/,inject.so away.so kill_at sweep pairs)
obj        = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
UNIT      := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT_SRC))
FUZZ      := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(FUZZ_SRC))

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2))

all: $(BUILD)/kvmcrypt

$(BUILD)/kvmcrypt: $(call obj,$(CMD_SRC)) $(BUILD)/libkvmcrypt.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(ALL_LIBS)

$(BUILD)/libkvmcrypt.a: $(call obj,$(LIB_SRC))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/obj/%.o: %.c Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(WARN) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# These call more of the libraries than the program does, which links none of them (base/library/).
$(BUILD)/tests/test_envelope: EXTRA_LIBS := -lcrypto
# and counts what one of them is called.
$(BUILD)/tests/test_seal: EXTRA_LIBS := -lcryptsetup -Wl,--wrap=crypt_volume_key_get

$(BUILD)/tests/%: tests/unit/%.c $(BUILD)/libkvmcrypt.a
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(WARN) $(ALL_CFLAGS) $(ALL_LDFLAGS) -MMD -MP -o $@ $< $(BUILD)/libkvmcrypt.a $(ALL_LIBS) -lcmocka $(EXTRA_LIBS)

$(BUILD)/bench/%: bench/%.c $(BUILD)/libkvmcrypt.a
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(WARN) $(ALL_CFLAGS) $(ALL_LDFLAGS) -MMD -MP -o $@ $< $(BUILD)/libkvmcrypt.a $(ALL_LIBS)

# Fuzzers need the whole library instrumented: they have one of their own.
FUZZ_CC := clang $(WARN) $(filter-out -fPIE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2,$(ALL_CFLAGS)) -O1 -g \
	-fno-sanitize-recover=undefined
$(BUILD)/fuzz/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) -fsanitize=fuzzer-no-link,address,undefined -MMD -MP -c -o $@ $<
$(BUILD)/fuzz/libkvmcrypt.a: $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,$(LIB_SRC))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(BUILD)/fuzz/%: tests/fuzz/%.c $(BUILD)/fuzz/libkvmcrypt.a
	$(call say,FUZZ,$<)
	$(Q)$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $@ $< $(BUILD)/fuzz/libkvmcrypt.a $(ALL_LIBS)

$(BUILD)/fault/%.so: tests/fault/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c11 $(WARN) -O2 -g -fPIC -shared -o $@ $< -ldl -lpthread

# What a sweep looks with is not the program's library, which is what it looks at.
$(BUILD)/fault/kill_at: $(call obj,tests/fault/kill_at.c tests/fault/trace.c)
$(BUILD)/fault/sweep: $(call obj,$(addprefix tests/fault/,sweep.c trace.c power.c case.c look.c volume.c verbs.c))
$(BUILD)/fault/pairs: $(call obj,$(addprefix tests/fault/,pairs.c trace.c case.c look.c volume.c verbs.c))
$(BUILD)/fault/sweep $(BUILD)/fault/pairs: FAULT_LIBS := -lcryptsetup -lcrypto -ljson-c
$(BUILD)/fault/kill_at $(BUILD)/fault/sweep $(BUILD)/fault/pairs:
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(FAULT_LIBS)

-include $(shell find $(BUILD) -path $(BUILD)/reboot -prune -o -name '*.d' -type f -print 2>/dev/null)

unit-tests: $(UNIT)

# Tests. `make test` does everything, packages included; `make check` only runs them.
test: test-deps
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) WERROR=1 all unit-tests $(FAULT_TOOLS)
	$(Q)BUILD=$(BUILD) exec tests/run

check: WERROR = 1
check: all unit-tests $(FAULT_TOOLS)
	$(Q)BUILD=$(BUILD) exec tests/run $(TESTS)

# The sweeps of which `make test` runs a sample: faults at every single call, pairs at every stop. An hour on two
# quiet processors; SHARD=i/n does a part.
FAULT ?= fault vm/recover vm/recover_open guest/daemon_away
fault: all $(FAULT_TOOLS)
	$(Q)FAULT_FULL=1 AWAY_STEP=1 TEST_SECONDS=7200 BUILD=$(BUILD) exec tests/run $(FAULT)

asan:
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) BUILD=build-asan CFLAGS="-O1 -g -fno-omit-frame-pointer" \
		EXTRA_CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined" all unit-tests
	$(Q)BUILD=build-asan exec tests/run unit cli

# What runs in threads. Without address randomisation, which its runtime does not get along with.
tsan:
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) BUILD=build-tsan CFLAGS="-O1 -g -fno-omit-frame-pointer" \
		EXTRA_CFLAGS="-fsanitize=thread" all build-tsan/tests/test_concurrent build-tsan/tests/test_probe
	$(Q)BUILD=build-tsan exec setarch -R tests/run unit/test_concurrent unit/test_probe cli/rotate cli/rotate_volume_key

FUZZ_SECONDS ?= 60
fuzz: $(FUZZ)
	$(Q)FUZZ_SECONDS=$(FUZZ_SECONDS) BUILD=$(BUILD) tests/fuzz/run

bench: test-deps
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all $(BUILD)/bench/fill_keystore $(BUILD)/bench/median $(FAULT_TOOLS)
	$(Q)BUILD=$(BUILD) bench/run $(BENCH)

# A whole host under emulation that is switched off and on. It is made with debootstrap the first time.
test-reboot: test-deps
	$(Q)tests/lib/install-packages $(PKGS_REBOOT)
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all
	$(Q)BUILD=$(BUILD) exec tests/run reboot

# In a bare root of another release: make test-on SUITE=trixie TESTS="unit cli"
test-on:
	$(Q)tests/test-on $(SUITE) $(TESTS)

# The packages, in such a root: built twice, lintian, installed, their own tests. Of the last commit.
test-deb:
	$(Q)tests/test-deb $(SUITE)

quickstart: deps guest-deps
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) all
	$(Q)BUILD=$(BUILD) tests/guest/quickstart

# gcc finds some only where it optimises much, so the program is built whole; what has not changed is not built again.
lint:
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) BUILD=$(BUILD)/lint CFLAGS="-O3 -g" WERROR=1 all unit-tests
	$(Q)tests/lint

# Everything that is generated from the option tables and committed.
generated: $(BUILD)/kvmcrypt
	$(Q)BUILD=$(BUILD) man/generate

deps:
	$(Q)tests/lib/install-packages $(PKGS_BUILD) $(PKGS_RUN)
guest-deps:
	$(Q)tests/lib/install-packages $(PKGS_GUEST)
test-deps: deps
	$(Q)tests/lib/install-packages $(PKGS_TEST)

# Of the last commit; everything in it has that commit's time, so that the same commit is the same bytes.
dist:
	@mkdir -p $(BUILD)
	git archive --prefix=kvmcrypt-$(VERSION)/ HEAD | gzip -9n >$(BUILD)/kvmcrypt-$(VERSION).tar.gz

# Packages of this release of Debian, from the last commit, in $(BUILD)/deb.
deb: dist
	$(Q)tests/lib/install-packages $(PKGS_BUILD) build-essential debhelper dpkg-dev jq po-debconf
	$(Q)rm -rf $(BUILD)/deb && mkdir -p $(BUILD)/deb
	$(Q)tar -xzf $(BUILD)/kvmcrypt-$(VERSION).tar.gz -C $(BUILD)/deb
	$(Q)cd $(BUILD)/deb/kvmcrypt-$(VERSION) && env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS dpkg-buildpackage -j$(JOBS) -b -uc -us
	$(Q)rm -rf $(BUILD)/deb/kvmcrypt-$(VERSION)

# A package for hosts with RPM, from the last commit, in $(BUILD)/rpm; what it needs to build is not looked for by RPM's names.
rpm: dist
	$(Q)tests/lib/install-packages $(PKGS_BUILD) rpm
	$(Q)rm -rf $(BUILD)/rpm
	$(Q)env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS rpmbuild --quiet --nodeps --define "_topdir $(CURDIR)/$(BUILD)/rpm" \
		-ta $(BUILD)/kvmcrypt-$(VERSION).tar.gz

install: all
	install -D -m 755 $(BUILD)/kvmcrypt $(DESTDIR)$(bindir)/kvmcrypt
	install -D -m 644 audit/50-kvmcrypt.rules $(DESTDIR)$(prefix)/share/kvmcrypt/50-kvmcrypt.rules
	install -d $(DESTDIR)$(mandir)/man1
	install -m 644 man/*.1 $(DESTDIR)$(mandir)/man1/
	install -D -m 644 completions/kvmcrypt.bash $(DESTDIR)$(bashdir)/kvmcrypt
	install -D -m 644 completions/_kvmcrypt $(DESTDIR)$(zshdir)/_kvmcrypt
	install -D -m 644 completions/kvmcrypt.fish $(DESTDIR)$(fishdir)/kvmcrypt.fish
	install -d $(DESTDIR)$(unitdir)
	for u in systemd/*.service; do \
		sed 's|@bindir@|$(bindir)|' $$u >$(DESTDIR)$(unitdir)/$${u##*/} || exit 1; \
		chmod 644 $(DESTDIR)$(unitdir)/$${u##*/}; \
	done

uninstall:
	rm -f $(DESTDIR)$(bindir)/kvmcrypt $(DESTDIR)$(bashdir)/kvmcrypt $(DESTDIR)$(zshdir)/_kvmcrypt \
		$(DESTDIR)$(fishdir)/kvmcrypt.fish $(DESTDIR)$(mandir)/man1/kvmcrypt.1 \
		$(DESTDIR)$(mandir)/man1/kvmcrypt-*.1 $(DESTDIR)$(unitdir)/kvmcrypt-*.service \
		$(DESTDIR)$(prefix)/share/kvmcrypt/50-kvmcrypt.rules

clean:
	rm -rf build build-asan build-tsan

help:
	@echo 'make             build the program at build/kvmcrypt'
	@echo 'make quickstart  install packages, build, run the main job with a real guest'
	@echo 'make test        install packages, build, run every test'
	@echo 'make check       run tests without installing (TESTS="unit cli/create" picks some)'
	@echo 'make fault       faults at every system call, pairs of commands at every stop (an hour; SHARD=i/n a part)'
	@echo 'make asan        unit and command tests under ASan and UBSan'
	@echo 'make test-reboot a host that loses power: TPM, systemd, autostart (under emulation)'
	@echo 'make test-on     SUITE=trixie: quickstart and tests in a bare root of that release (TESTS as above)'
	@echo 'make test-deb    SUITE=trixie: the packages in such a root: built twice, lintian, installed, removed'
	@echo 'make tsan        what runs in threads under the thread sanitizer'
	@echo 'make fuzz        run every fuzzer for FUZZ_SECONDS (60)'
	@echo 'make bench       side by side with qemu-img, virsh and QEMU defaults'
	@echo 'make lint        warnings of gcc and clang as errors, shellcheck'
	@echo 'make generated   renew completions and man page sections from the option tables'
	@echo 'make deb         Debian packages in build/deb; dist: the source as build/kvmcrypt-$(VERSION).tar.gz'
	@echo 'make rpm         an RPM package in build/rpm'
	@echo 'make deps        Debian packages to build and run; test-deps: those of the tests'
	@echo 'make install     honours DESTDIR and prefix; uninstall undoes it'

.PHONY: all dist deb rpm unit-tests test test-on test-deb test-reboot check fault asan tsan fuzz bench quickstart lint generated deps guest-deps test-deps \
	install uninstall clean help
.DELETE_ON_ERROR:
