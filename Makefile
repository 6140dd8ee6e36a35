# Two commands do everything on a fresh machine: `make demo` and `make test`.

PREFIX ?= /usr/local
DEMO_DIR = target/demo

.PHONY: help dist musl demo test header check-targets bench deny install clean

help:
	@echo 'make demo      build, crash a C host, show the dump its monitor wrote'
	@echo 'make test      run every test in every language, installing what they need'
	@echo 'make dist      build what users get into target/dist (lib, bin, include)'
	@echo 'make musl      build the same for programs with musl into target/musl'
	@echo 'make install   copy target/dist to PREFIX (default /usr/local)'
	@echo 'make header    renew include/crash_monitor.h from the Rust sources'
	@echo 'make check-targets  compile for Windows, macOS and aarch64'
	@echo 'make bench     measure against minidumper in the same run'
	@echo 'make deny      check licences and advisories of all dependencies (needs cargo-deny)'

dist:
	scripts/dist.sh

musl:
	scripts/musl.sh

demo: dist
	scripts/demo.sh $(DEMO_DIR)

test:
	scripts/test.sh

header:
	CRASH_MONITOR_RENEW_HEADER=1 cargo test --locked --test header_is_current

check-targets:
	scripts/check-targets.sh

bench: dist
	cargo bench --locked

deny:
	cargo deny --all-features check

# Builds nothing: root has another PATH, and would leave files of its own.
install:
	@test -e target/dist/.made || { echo 'target/dist is missing: run make dist first' >&2; exit 1; }
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install -m 755 target/dist/bin/crash-monitor target/dist/bin/crash-monitor-show $(DESTDIR)$(PREFIX)/bin/
	install -m 644 target/dist/include/* $(DESTDIR)$(PREFIX)/include/
	cp -P target/dist/lib/libcrash_monitor.* $(DESTDIR)$(PREFIX)/lib/
	install -m 644 target/dist/lib/pkgconfig/crash_monitor.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/

clean:
	cargo clean
