/* The add-on of node_host.js. */
#include "runtime.h"
#include <node_api.h>

static napi_value install(napi_env env, napi_callback_info info) {
    size_t count = 1, length;
    napi_value argument;
    char dump_dir[4096];
    napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
    napi_get_value_string_utf8(env, argument, dump_dir, sizeof dump_dir, &length);
    install_behind_runtime(dump_dir);
    return NULL;
}

static napi_value report_to_test(napi_env env, napi_callback_info info) {
    (void)env;
    (void)info;
    report();
    return NULL;
}

static napi_value crash_now(napi_env env, napi_callback_info info) {
    (void)env;
    (void)info;
    ready();
    crash_in_own_page();
    return NULL;
}

static void add(napi_env env, napi_value exports, const char *name, napi_callback function) {
    napi_value value;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &value);
    napi_set_named_property(env, exports, name, value);
}

NAPI_MODULE_INIT() {
    add(env, exports, "install", install);
    add(env, exports, "report", report_to_test);
    add(env, exports, "crash", crash_now);
    return exports;
}
