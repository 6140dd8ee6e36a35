/* The native methods of JavaHost.java. */
#include "runtime.h"
#include <jni.h>

JNIEXPORT void JNICALL Java_JavaHost_install(JNIEnv *env, jclass class, jstring dump_dir) {
    (void)class;
    const char *path = (*env)->GetStringUTFChars(env, dump_dir, NULL);
    install_behind_runtime(path);
    (*env)->ReleaseStringUTFChars(env, dump_dir, path);
}

JNIEXPORT void JNICALL Java_JavaHost_attach(JNIEnv *env, jclass class, jstring file) {
    (void)class;
    const char *path = (*env)->GetStringUTFChars(env, file, NULL);
    check(cm_attach_file(path));
    (*env)->ReleaseStringUTFChars(env, file, path);
}

JNIEXPORT void JNICALL Java_JavaHost_report(JNIEnv *env, jclass class) {
    (void)env;
    (void)class;
    report();
}

JNIEXPORT void JNICALL Java_JavaHost_crash(JNIEnv *env, jclass class) {
    (void)env;
    (void)class;
    ready();
    crash_in_own_page();
}
