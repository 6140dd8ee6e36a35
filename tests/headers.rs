//! What C and C++ programs build with: the headers compile alone and without a warning, do what they say, and the
//! libraries offer what the headers declare and nothing else.

mod common;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Running, Sandbox, dist, run};

/// The compiler for `language` (`c` or `c++`), with warnings as errors and the include path.
fn compiler(language: &str) -> Command {
    let mut command = Command::new(if language == "c" { "gcc" } else { "g++" });
    command.args(["-x", language, "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]);
    command.arg("-I").arg(dist().join("include"));
    command
}

/// Builds a program that is linked with the shared library; its source comes on standard input.
fn build(compiler: &mut Command, source: &str, program: &Path) {
    let lib = dist().join("lib");
    compiler.arg("-").arg("-o").arg(program).arg("-L").arg(&lib).arg(format!("-Wl,-rpath,{}", lib.display()));
    feed(compiler.args(["-lcrash_monitor", "-pthread", "-ldl"]), source);
}

/// Runs a compiler on `source`; it must succeed and say nothing.
fn feed(compiler: &mut Command, source: &str) {
    let messages = messages(compiler, source);
    assert!(messages.is_empty(), "{compiler:?}:\n{messages}");
}

/// What a compiler says of `source`; it fails where it says anything, since warnings are errors.
fn messages(compiler: &mut Command, source: &str) -> String {
    let mut child = compiler.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start the compiler");
    child.stdin.take().expect("piped").write_all(source.as_bytes()).expect("write the source");
    let output = child.wait_with_output().expect("wait for the compiler");
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.success(), messages.is_empty(), "{compiler:?}:\n{messages}");
    messages
}

/// Compiles a file that includes nothing but `header`.
fn compiles_alone(header: &str, language: &str, standards: &[&str]) {
    for standard in standards {
        let mut compiler = compiler(language);
        compiler.args([&format!("-std={standard}"), "-fsyntax-only", "-"]);
        feed(&mut compiler, &format!("#include <{header}>\n"));
    }
}

#[test]
fn every_header_compiles_alone_without_warnings() {
    for header in ["crash_monitor.h", "crash_monitor_threads.h"] {
        compiles_alone(header, "c", &["c99", "c11", "c17", "c2x"]);
        compiles_alone(header, "c++", &["c++11", "c++17", "c++20", "c++23"]);
    }
    compiles_alone("crash_monitor.h", "c++", &["c++98"]);
    compiles_alone("crash_monitor.hpp", "c++", &["c++11", "c++14", "c++17", "c++20"]);
}

#[test]
fn the_version_macros_are_the_librarys_version() {
    let sandbox = Sandbox::new();
    let program = sandbox.path().join("version");
    let source = r#"
        #include <crash_monitor.h>
        #include <stdio.h>
        #if CM_VERSION_NUMBER != CM_VERSION_MAJOR * 1000000 + CM_VERSION_MINOR * 1000 + CM_VERSION_PATCH
        #error "the number is another version"
        #endif
        int main(void) {
            printf("%d.%d.%d %s", CM_VERSION_MAJOR, CM_VERSION_MINOR, CM_VERSION_PATCH, cm_version());
            return cm_version_number() == CM_VERSION_NUMBER ? 0 : 1;
        }"#;
    build(&mut compiler("c"), source, &program);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(run(&mut Command::new(program)), format!("{version} {version}"));
}

fn header() -> String {
    std::fs::read_to_string(dist().join("include/crash_monitor.h")).expect("read the header")
}

/// The functions that crash_monitor.h declares: a declaration is one line, which begins with macros.
fn declared() -> BTreeSet<String> {
    let header = header();
    let declarations = header.lines().filter(|line| line.starts_with("CM_"));
    let names = declarations.filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next());
    names.map(str::to_owned).collect()
}

/// Each function's declaration and the comment above it, without stars.
fn documented() -> Vec<(String, String)> {
    let (header, mut comment, mut found) = (header(), String::new(), Vec::new());
    for line in header.lines() {
        match line {
            "/**" => comment.clear(),
            _ if line.starts_with(" *") => comment += &format!("{}\n", line[2..].trim()),
            _ if line.starts_with("CM_") => found.push((line.to_owned(), std::mem::take(&mut comment))),
            _ => {}
        }
    }
    found
}

#[test]
fn every_function_is_declared_and_documented_alike() {
    for (declaration, comment) in documented() {
        assert!(declaration.contains("CM_API ") && declaration.ends_with(" CM_NOEXCEPT;"), "{declaration}");
        // Those of a report have one comment for all of them, at its type.
        if !declaration.contains(" cm_report_") && !declaration.contains(" *cm_report_") {
            for word in ["Threads: ", "Signal handlers: "] {
                assert!(comment.contains(word), "{declaration}: {word:?} is missing in\n{comment}");
            }
        }
        let parameters = declaration.split_once('(').unwrap().1.split_once(')').unwrap().0;
        for parameter in parameters.split(',').filter(|parameter| *parameter != "void") {
            let name = parameter.rsplit([' ', '*']).next().unwrap();
            let is_self = name == "config" && !declaration.contains("cm_config **") || name == "report";
            assert!(is_self || comment.contains(name), "{declaration}: {name} is not documented in\n{comment}");
        }
        if declaration.contains("cm_status cm_") {
            assert!(comment.contains("Returns "), "{declaration}:\n{comment}");
        }
    }
}

#[test]
fn the_manual_is_for_c_programmers() {
    let header = header();
    for word in ["# Safety", "`", "Panics", "unsafe", "Option", "&str"] {
        assert!(!header.contains(word), "{word:?} in the header");
    }
    // A declaration is one line, however long: scripts look for it.
    let long = header.lines().find(|line| line.len() > 130 && !line.starts_with("CM_"));
    assert_eq!(long, None);
}

#[test]
fn statuses_are_told_apart_and_a_result_that_matters_is_not_dropped() {
    let sandbox = Sandbox::new();
    let program = sandbox.path().join("statuses");
    let source = r#"
        #include <crash_monitor.h>
        #include <assert.h>
        int main(void) {
            assert(!CM_IS_ERROR(CM_OK) && !CM_IS_ERROR(CM_NOT_A_MONITOR));
            assert(CM_IS_ERROR(CM_ERR_NULL_ARGUMENT) && CM_IS_ERROR(cm_install("", NULL)));
            return 3 -CM_ERR_NULL_ARGUMENT - 4;
        }"#;
    build(&mut compiler("c"), source, &program);
    run(&mut Command::new(&program));

    let object = sandbox.path().join("dropped.o");
    let dropped = "#include <crash_monitor.h>\nint main(void) { cm_install(\"d\", 0); }\n";
    for (language, standard) in [("c", "c99"), ("c", "c2x"), ("c++", "c++11"), ("c++", "c++17")] {
        let mut compiler = compiler(language);
        let messages = messages(compiler.args([&format!("-std={standard}"), "-c", "-", "-o"]).arg(&object), dropped);
        assert!(messages.contains("cm_install"), "{standard}: {messages}");
    }
}

#[test]
fn a_windows_program_imports_the_functions_unless_it_links_them_in() {
    let preprocessed = |options: &[&str]| {
        run(compiler("c").args(["-E", "-D_WIN32"]).args(options).arg(dist().join("include/crash_monitor.h")))
    };
    let import = "__declspec(dllimport) cm_status cm_heartbeat(void)";
    assert!(preprocessed(&[]).contains(import));
    assert!(!preprocessed(&["-DCM_STATIC"]).contains("__declspec"));
}

#[test]
fn no_function_throws() {
    let source = r#"
        #include <crash_monitor.h>
        static_assert(noexcept(cm_heartbeat()) && noexcept(cm_dump_now(nullptr, nullptr)), "");"#;
    let mut compiler = compiler("c++");
    feed(compiler.args(["-std=c++11", "-fsyntax-only", "-"]), source);
}

/// The symbols that a library offers, by nm(1): address, type, name.
fn offered(options: &[&str], library: &Path) -> BTreeSet<String> {
    let table = run(Command::new("nm").args(options).arg("--defined-only").arg(library));
    table.lines().filter_map(|line| line.split(' ').nth(2)).map(str::to_owned).collect()
}

#[test]
fn the_libraries_offer_what_the_header_declares_and_nothing_else() {
    let declared = declared();
    assert!(declared.contains("cm_install") && declared.iter().all(|name| name.starts_with("cm_")), "{declared:?}");
    let lib = dist().join("lib");
    assert_eq!(offered(&["-D"], &lib.join("libcrash_monitor.so")), declared);
    assert_eq!(offered(&["-g"], &lib.join("libcrash_monitor.a")), declared);
}

#[test]
fn the_shared_library_has_its_name_and_stays_loaded() {
    let dynamic = run(Command::new("readelf").arg("-dW").arg(dist().join("lib/libcrash_monitor.so")));
    let entry = |tag: &str| dynamic.lines().find(|line| line.contains(tag)).unwrap_or_else(|| panic!("{dynamic}"));
    let soname = concat!("[libcrash_monitor.so.", env!("CARGO_PKG_VERSION_MAJOR"), "]");
    assert!(entry("(SONAME)").ends_with(soname), "{dynamic}");
    assert!(entry("(FLAGS_1)").contains("NODELETE"), "{dynamic}");
}

/// C and C++: what the caller of pthread_create sees is what it was; then a thread that was created before cm_install
/// overflows its stack.
const THREADS: &str = r#"
    #include <crash_monitor_threads.h>
    #include <assert.h>
    #include <malloc.h>
    #include <semaphore.h>
    #include <signal.h>
    #include <unistd.h>

    static sem_t begun, installed;
    static int cleaned;

    static void *check_stack(void *argument) {
        stack_t stack;
        assert(errno == 0);
        assert(sigaltstack(NULL, &stack) == 0 && !(stack.ss_flags & SS_DISABLE) && stack.ss_size >= 64 * 1024);
        return argument;
    }
    static void *leave(void *argument) { pthread_exit(argument); }
    static void *check_size(void *argument) {
        pthread_attr_t attributes;
        size_t size;
        assert(pthread_getattr_np(pthread_self(), &attributes) == 0);
        assert(pthread_attr_getstacksize(&attributes, &size) == 0 && size > ((size_t)31 << 20));
        pthread_attr_destroy(&attributes);
        return argument;
    }
    static void clean(void *argument) { *(int *)argument = 1; }
    static void *wait_for_ever(void *argument) {
        pthread_cleanup_push(clean, argument);
        sem_post(&begun);
        for (;;) pause();
        pthread_cleanup_pop(0);
        return NULL;
    }
    struct node { const struct node *next; };
    static int length(const struct node *node) { return node->next == NULL ? 0 : 1 + length(node->next); }
    static void *overflow(void *argument) {
        struct node node;
        node.next = &node;
        while (sem_wait(&installed) != 0) {}
        *(volatile int *)argument = length(&node);
        return NULL;
    }

    int main(int argc, char **argv) {
        pthread_t thread, early;
        pthread_attr_t attributes;
        void *result;
        size_t used;
        int i, never = argc;
        sem_init(&begun, 0, 0);
        sem_init(&installed, 0, 0);

        errno = 77;
        assert(pthread_create(&thread, NULL, check_stack, &never) == 0 && errno == 77);
        assert(pthread_join(thread, &result) == 0 && result == &never);
        assert(pthread_create(&thread, NULL, leave, &never) == 0);
        assert(pthread_join(thread, &result) == 0 && result == &never);
        assert(pthread_create(&thread, NULL, wait_for_ever, &cleaned) == 0);
        while (sem_wait(&begun) != 0) {}
        assert(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
        assert(result == PTHREAD_CANCELED && cleaned == 1);

        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, (size_t)32 << 20);
        assert(pthread_create(&thread, &attributes, check_size, &never) == 0 && pthread_join(thread, NULL) == 0);

        /* More than an address space holds; then threads that run. 16 bytes each would be 16,000. */
        used = mallinfo2().uordblks;
        pthread_attr_setstacksize(&attributes, (size_t)1 << 50);
        for (i = 0; i < 1000; i++)
            assert(pthread_create(&thread, &attributes, check_stack, NULL) == EAGAIN && errno == 77);
        for (i = 0; i < 1000; i++)
            assert(pthread_create(&thread, NULL, check_stack, NULL) == 0 && pthread_join(thread, NULL) == 0);
        assert(mallinfo2().uordblks < used + 16000);

        assert(pthread_create(&early, NULL, overflow, &never) == 0);
        assert(cm_install(argv[1], NULL) == CM_OK);
        sem_post(&installed);
        pthread_join(early, NULL);
        return 0;
    }"#;

fn run_threads(language: &str) {
    let sandbox = Sandbox::new();
    let program = sandbox.path().join("threads");
    build(&mut compiler(language), THREADS, &program);
    let ended = Running::start(Command::new(&program).arg(sandbox.dumps())).end();
    assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{ended:?}");
    let dump = sandbox.only_dump();
    assert_ne!(dump.crashing_thread(), ended.pid, "not the first thread");
    dump.check_basics(&program, dump.crashing_thread());
}

#[test]
fn threads_of_a_c_program_get_a_stack_and_are_what_they_were() {
    run_threads("c");
}

#[test]
fn threads_of_a_cpp_program_get_a_stack_and_are_what_they_were() {
    run_threads("c++");
}

#[test]
fn two_definitions_of_pthread_create_do_not_link() {
    let sandbox = Sandbox::new();
    let object = sandbox.path().join("first.o");
    feed(compiler("c").args(["-c", "-", "-o"]).arg(&object), "#include <crash_monitor_threads.h>\n");
    let mut linker = Command::new("gcc");
    linker.arg("-o").arg(sandbox.path().join("both")).args(["-shared"]).args([&object, &object]);
    let output = linker.output().expect("start the linker");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(messages.contains("multiple definition of `pthread_create'"), "{messages}");
}

const CPP: &str = r#"
    #include <crash_monitor.hpp>
    #include <cassert>
    #include <csignal>
    #include <iostream>
    #include <type_traits>

    namespace cm = crash_monitor;
    static_assert(std::is_nothrow_move_constructible<cm::config>::value, "a configuration moves");
    static_assert(!std::is_copy_constructible<cm::config>::value, "a configuration has one owner");
    static_assert(!std::is_move_constructible<cm::installation>::value, "an installation has one place");

    template <class Call> void expect_error(cm_status status, Call call) {
        try {
            call();
        } catch (const cm::error &error) {
            assert(error.status() == status);
            std::cout << error.what() << '\n';
            return;
        }
        assert(!"an exception was expected");
    }

    static bool armed() {
        struct sigaction action;
        sigaction(SIGSEGV, nullptr, &action);
        return action.sa_handler != SIG_DFL;
    }

    int main(int, char **argv) {
        assert(!cm::run_monitor());
        assert(std::string(cm::version()) == cm_version() && cm::version_number() == CM_VERSION_NUMBER);
        cm::thread_init();

        cm::config config(argv[1], std::string(argv[1]) + "/s");
        expect_error(CM_ERR_INVALID_ARGUMENT, [] { cm::config(""); });
        expect_error(CM_ERR_INVALID_ARGUMENT, [&] { config.app_name("a/b"); });
        for (auto bad : {-1L, 99L, 600001L, 0x100000000L + 5000})
            expect_error(CM_ERR_INVALID_ARGUMENT, [&] { config.deadline(std::chrono::milliseconds(bad)); });
        config.app_name("cpp").deadline(std::chrono::minutes(1)).monitor_log(std::string(argv[1]) + "/log");
        cm::config moved(std::move(config));
        expect_error(CM_ERR_NULL_ARGUMENT, [&] { config.app_name("x"); });
        {
            cm::installation first(moved.monitor_path(argv[0]));
            assert(armed());
            expect_error(CM_ERR_ALREADY_INSTALLED, [&] { cm::install(argv[1]); });
        }
        assert(!armed());
        expect_error(CM_ERR_NOT_INSTALLED, [] { cm::uninstall(); });
        expect_error(CM_ERR_DUMP_DIR, [] { cm::installation nowhere("/dev/null"); });
        cm::install(argv[1]);
        assert(armed());
        cm::uninstall();
    }"#;

#[test]
fn the_cpp_interface_throws_what_went_wrong_and_disarms_at_the_end_of_a_scope() {
    let sandbox = Sandbox::new();
    let program = sandbox.path().join("cpp");
    build(compiler("c++").arg("-std=c++11"), CPP, &program);
    let ended = Running::start(Command::new(&program).arg(sandbox.dumps())).end();
    assert!(ended.status.success(), "{ended:?}");
    let lines: Vec<_> = ended.output.lines().collect();
    let words = [
        "dump_dir is empty",
        "app_name",
        "deadline of -1 ms is out of range: give 100 to 600000 ms",
        "deadline of 99 ms is out of range: give 100 to 600000 ms",
        "deadline of 600001 ms is out of range: give 100 to 600000 ms",
        "deadline of 4294972296 ms is out of range: give 100 to 600000 ms",
        "config is NULL",
        "already installed with dump_dir",
        "not installed",
        "/dev/null",
    ];
    assert_eq!(lines.len(), words.len(), "{lines:#?}");
    for (line, word) in lines.iter().zip(words) {
        assert!(line.contains(word), "{word:?} expected in {line:?}");
    }
}
