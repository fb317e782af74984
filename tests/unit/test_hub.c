/* hub: names, addresses, the catalogue, tar headers, signatures, hashes.
 *
 * Downloads themselves are tested whole, against a server: tests/e2e/test_pull.py. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/files.h"
#include "base/size.h"
#include "hub/address.h"
#include "hub/catalogue.h"
#include "hub/hash.h"
#include "hub/jread.h"
#include "hub/limits.h"
#include "hub/manifest.h"
#include "hub/models.h"
#include "hub/reply.h"
#include "hub/sign.h"
#include "hub/tar.h"

/* ---- names ---- */

static void test_model_names(void **state)
{
    (void)state;
    static const char *const GOOD[] = { "a", "qwen3.5-4b-q4_k_m", "0", "x.y_z-1" };
    static const char *const BAD[] = { "",  ".",  "..", ".x",  "x.",  "a/b", "a..b",  "A",
                                       "ü", "-x", "_x", "a b", "a\n", "a:b", "con\\x" };
    for (size_t i = 0; i < ARRAY_LEN(GOOD); i++)
        assert_true(model_name_ok(GOOD[i]));
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
        assert_false(model_name_ok(BAD[i]));
    char longest[HUB_NAME_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[HUB_NAME_MAX + 1] = '\0';
    assert_false(model_name_ok(longest));
    longest[HUB_NAME_MAX] = '\0';
    assert_true(model_name_ok(longest));
}

static void test_paths_stay_inside(void **state)
{
    (void)state;
    static const char *const GOOD[] = { "a.gguf", "1_Pooling/config.json", "a/b/c/d", "A+B-c_d.e" };
    static const char *const BAD[] = {
        "",           "/a",     "a/",   "a//b",      "..",           "a/../b",
        "a/.b",       ".a",     "a\\b", "a/b/c/d/e", "a b",          "manifest.json",
        "state.json", "x.part", "-rf",  "a\tb",      "\xC3\xA4.gguf"
    };
    for (size_t i = 0; i < ARRAY_LEN(GOOD); i++)
        assert_true(model_path_ok(GOOD[i]));
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
        assert_false(model_path_ok(BAD[i]));
    assert_true(repository_ok("unsloth/Qwen3.5-4B-GGUF"));
    assert_false(repository_ok("unsloth"));
    assert_false(repository_ok("a/b/c"));
    assert_false(repository_ok("a/.."));
}

static void test_text_for_terminals(void **state)
{
    (void)state;
    assert_true(text_is_plain("Qwen \xC3\xBC \xE2\x82\xAC"));
    assert_false(text_is_plain("\x1B[2J"));
    assert_false(text_is_plain("a\nb"));
    assert_false(text_is_plain("a\x7F"));
    assert_false(text_is_plain("\xC2\x9B")); /* the one-byte escape introducer */
    assert_false(text_is_plain("gpj.\xE2\x80\xAE"
                               "exe")); /* right to left */
    assert_false(text_is_plain("\xFF"));
}

/* ---- addresses ---- */

static bool public_text(const char *text)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return address_is_public((const struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return address_is_public((const struct sockaddr *)&v6);
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const PUBLIC[] = { "1.1.1.1",          "9.255.255.255",  "11.0.0.0",
                                          "172.15.255.255",   "172.32.0.0",     "100.63.255.255",
                                          "100.128.0.0",      "192.167.0.1",    "223.255.255.255",
                                          "2600:9000::1",     "2a00:1450::1",   "::ffff:8.8.8.8",
                                          "64:ff9b::8.8.8.8", "2002:808:808::1" };
    static const char *const PRIVATE[] = { "0.0.0.0",
                                           "10.0.0.1",
                                           "100.64.0.1",
                                           "127.0.0.1",
                                           "127.255.255.255",
                                           "169.254.1.1",
                                           "172.16.0.1",
                                           "172.31.255.255",
                                           "192.168.0.1",
                                           "192.0.0.1",
                                           "198.18.0.1",
                                           "198.19.255.255",
                                           "224.0.0.1",
                                           "240.0.0.1",
                                           "255.255.255.255",
                                           "::",
                                           "::1",
                                           "fc00::1",
                                           "fd12::1",
                                           "fe80::1",
                                           "fec0::1",
                                           "ff02::1",
                                           "::ffff:10.0.0.1",
                                           "::ffff:127.0.0.1",
                                           "::127.0.0.1",
                                           "64:ff9b::192.168.1.1",
                                           "2002:a00:1::1",
                                           "2002:7f00:1::",
                                           "2001::1",
                                           "2001:db8::1",
                                           "3fff::1" };
    for (size_t i = 0; i < ARRAY_LEN(PUBLIC); i++) {
        print_message("%s\n", PUBLIC[i]);
        assert_true(public_text(PUBLIC[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(PRIVATE); i++) {
        print_message("%s\n", PRIVATE[i]);
        assert_false(public_text(PRIVATE[i]));
    }
    struct sockaddr other = { .sa_family = AF_UNIX };
    assert_false(address_is_public(&other));
}

static void test_hosts(void **state)
{
    (void)state;
    static const char *const MAYBE[] = { "huggingface.co", "8.8.8.8", "[2600:9000::1]",
                                         "localhost.example.org", "10.0.0.1.example.org" };
    static const char *const NEVER[] = { "localhost",   "LOCALHOST",        "localhost.",
                                         "a.localhost", "127.0.0.1",        "127.1",
                                         "0x7f000001",  "2130706433",       "0",
                                         "[::1]",       "[fe80::1%25eth0]", "[::]" };
    for (size_t i = 0; i < ARRAY_LEN(MAYBE); i++)
        assert_true(host_may_be_public(MAYBE[i]));
    for (size_t i = 0; i < ARRAY_LEN(NEVER); i++)
        assert_false(host_may_be_public(NEVER[i]));
}

/* ---- the catalogue ---- */

static void test_builtin_catalogue(void **state)
{
    (void)state;
    struct catalogue c;
    struct kt_error err = { 0 };
    if (catalogue_builtin(&c, &err))
        fail_msg("%s", err.text);
    size_t n_pinned = 0, n_builds = 0;
    for (size_t i = 0; i < c.n_models; i++) {
        const struct catalogue_model *m = &c.models[i];
        assert_true(m->has_shape);
        assert_string_equal(catalogue_find(&c, m->name)->name, m->builds[0].name);
        for (size_t k = 0; k < m->n_builds; k++, n_builds++) {
            const struct catalogue_build *b = &m->builds[k];
            /* A hash without a commit would break when the branch moves; only old, settled
             * repositories have one. */
            n_pinned += b->files[0].sha256[0] != '\0';
            assert_true(strncmp(b->name, m->name, strlen(m->name)) == 0);
            for (size_t f = 0; f < b->n_files; f++)
                assert_true(b->files[f].sha256[0] || b->files[f].approximate);
        }
    }
    assert_true(n_builds >= 20 && n_pinned * 4 >= n_builds * 3);
    assert_null(catalogue_find(&c, "no-such"));
    catalogue_deinit(&c);
}

/* What the catalogue says of memory against the arithmetic of spec 10.2, exactly. */
static void test_memory_of_catalogue(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t kv_per_token, recurrent, conv;
    } KNOWN[] = {
        { "qwen3.5-0.8b", 12288, 18874368, 1327104 },
        { "qwen3.5-2b", 12288, 18874368, 1327104 },
        { "qwen3.5-4b", 32768, 50331648, 2359296 },
        { "qwen3.5-9b", 32768, 50331648, 2359296 },
        { "qwen3.5-27b", 65536, 150994944, 5898240 },
        { "qwen3.5-35b-a3b", 20480, 62914560, 2949120 },
        { "qwen3.5-122b-a10b", 24576, 150994944, 5308416 },
        { "qwen3.5-397b-a17b", 30720, 188743680, 6635520 },
    };
    struct catalogue c;
    assert_int_equal(catalogue_builtin(&c, NULL), KT_OK);
    for (size_t i = 0; i < ARRAY_LEN(KNOWN); i++) {
        const struct catalogue_build *b = catalogue_find(&c, KNOWN[i].name);
        struct memory_need n;
        assert_non_null(b);
        assert_true(memory_need(&n, &b->model->shape, b->bytes, 8192, 2));
        uint64_t exact = KNOWN[i].kv_per_token * 8192 + KNOWN[i].recurrent + KNOWN[i].conv;
        print_message("%s: %llu\n", KNOWN[i].name, (unsigned long long)n.state);
        /* Beside the arithmetic: alignment, and room to join what threads split. */
        assert_in_range(n.state, exact, exact + exact / 50);
        assert_int_equal(n.total, n.weights + n.state + n.scratch);
    }
    catalogue_deinit(&c);
    assert_int_equal(memory_fit(95, 100), FIT_TIGHT);
    assert_int_equal(memory_fit(101, 100), FIT_NO);
    assert_int_equal(memory_fit(80, 100), FIT_YES);
    assert_true(memory_of_machine() > 1 << 28);
}

static void refuse(const char *json, const char *words)
{
    struct catalogue c;
    struct kt_error err = { 0 };
    assert_int_equal(catalogue_read(&c, span_of(json), "mine.json", &err), KT_E_FORMAT);
    if (!strstr(err.text, words))
        fail_msg("expected '%s' in: %s", words, err.text);
}

#define HEAD  "{\"version\":1,\"hub\":\"https://h\",\"models\":["
#define MODEL "{\"name\":\"m\",\"title\":\"t\",\"role\":\"chat\",\"license\":\"l\",\"builds\":["
#define BUILD "{\"name\":\"b\",\"repository\":\"o/m\",\"files\":["
#define TAIL  "]}]}]}"

static void test_catalogue_refuses(void **state)
{
    (void)state;
    refuse("", "not JSON");
    refuse("[]", "one JSON object");
    refuse("{\"version\":2}", "'version'");
    refuse("{\"version\":1,\"hub\":\"http://h\",\"models\":[]}", "https://");
    refuse(HEAD "]}", "'models'");
    refuse(HEAD MODEL BUILD TAIL, "'files'");
    refuse(HEAD MODEL BUILD "{\"path\":\"../x\",\"bytes\":1}" TAIL, "plain names");
    refuse(HEAD MODEL BUILD "{\"path\":\"x\",\"bytes\":-1}" TAIL, "'bytes'");
    refuse(HEAD MODEL BUILD "{\"path\":\"x\",\"bytes\":1.5}" TAIL, "'bytes'");
    refuse(HEAD MODEL BUILD "{\"path\":\"x\",\"bytes\":99999999999999999}" TAIL, "'bytes'");
    refuse(HEAD MODEL BUILD "{\"path\":\"x\",\"bytes\":1,\"sha256\":\"ABC\"}" TAIL, "SHA-256");
    refuse(HEAD MODEL BUILD "{\"path\":\"x\",\"bytes\":1,\"size\":1}" TAIL, "unknown key 'size'");
    refuse(HEAD MODEL BUILD "{\"path\":\"x\",\"bytes\":1},{\"path\":\"X\",\"bytes\":1}" TAIL,
           "two files");
    refuse(HEAD MODEL BUILD "{\"path\":\"x\",\"bytes\":1},{\"path\":\"x/y\",\"bytes\":1}" TAIL,
           "two files");
    refuse(HEAD MODEL BUILD "{\"path\":\"x\",\"bytes\":1}]}," BUILD
                            "{\"path\":\"x\",\"bytes\":1}" TAIL,
           "given twice");
    refuse("{\"version\":1,\"version\":1}", "not JSON");
}

static void test_catalogue_paths(void **state)
{
    (void)state;
    struct catalogue c;
    struct kt_error err = { 0 };
    static const char JSON[] =
        HEAD MODEL BUILD "{\"path\":\"Q4/a-00001-of-00001.gguf\",\"bytes\":1},"
                         "{\"path\":\"1_Pooling/config.json\",\"bytes\":2}" TAIL;
    if (catalogue_read(&c, SPAN(JSON), "x", &err))
        fail_msg("%s", err.text);
    const struct catalogue_build *b = catalogue_find(&c, "m");
    assert_string_equal(b->files[0].as, "a-00001-of-00001.gguf");
    assert_string_equal(b->files[1].as, "1_Pooling/config.json");
    assert_string_equal(b->revision, "main");
    assert_int_equal(b->bytes, 3);
    catalogue_deinit(&c);
}

/* ---- replies ---- */

static void test_reply_heads(void **state)
{
    (void)state;
    static struct http_reply r;
    reply_reset(&r);
    assert_int_equal(r.length, -1);
    reply_take_line(&r, SPAN("etag: \"abc\"\r\n"));
    reply_take_line(&r, SPAN("Content-Range: bytes 100-199/200\r\n"));
    reply_take_line(&r, SPAN("CONTENT-LENGTH:100\r\n"));
    reply_take_line(&r, SPAN("Location:  /a/b \r\n"));
    assert_string_equal(r.etag, "\"abc\"");
    assert_int_equal(r.range_from, 100);
    assert_int_equal(r.range_to, 199);
    assert_int_equal(r.range_total, 200);
    assert_int_equal(r.length, 100);
    assert_string_equal(r.location, "/a/b");
    /* What is not of the form is absent. */
    static const char *const WEAK[] = { "ETag: W/\"abc\"", "ETag: abc", "ETag: \"\"",
                                        "ETag: \"a\x01\"", "ETag:" };
    for (size_t i = 0; i < ARRAY_LEN(WEAK); i++) {
        reply_take_line(&r, span_of(WEAK[i]));
        assert_string_equal(r.etag, "");
    }
    static const char *const NUMBERS[] = { "Content-Length: -1",
                                           "Content-Length: +1",
                                           "Content-Length: 1 2",
                                           "Content-Length: 0x10",
                                           "Content-Length: 99999999999999999999",
                                           "Content-Length:" };
    for (size_t i = 0; i < ARRAY_LEN(NUMBERS); i++) {
        reply_take_line(&r, span_of(NUMBERS[i]));
        assert_int_equal(r.length, -1);
    }
    reply_take_line(&r, SPAN("X-Linked-ETag: \"ABCDEF\""));
    assert_string_equal(r.sha256, "");
    reply_take_line(&r, SPAN("Retry-After: Wed, 21 Oct 2026 07:28:00 GMT"));
    assert_int_equal(r.retry_after_s, 0);
    reply_take_line(&r, SPAN("Retry-After: 99999999"));
    assert_int_equal(r.retry_after_s, 86400);
    reply_take_line(&r, SPAN("X-Error-Code: Gated\x1B[2J"));
    assert_string_equal(r.error_code, "Gated");
    /* The head that counts is the last one. */
    reply_take_line(&r, SPAN("HTTP/1.1 200 OK\r\n"));
    assert_string_equal(r.location, "");
    assert_int_equal(r.range_from, -1);
}

/* ---- tar ---- */

static void test_tar_headers(void **state)
{
    (void)state;
    static const uint64_t SIZES[] = {
        0, 1, 511, 512, 0x1FFFFFFFFu, 0x200000000u, 421507365376u, (uint64_t)1 << 44
    };
    unsigned char block[TAR_BLOCK];
    struct tar_member t;
    for (size_t i = 0; i < ARRAY_LEN(SIZES); i++) {
        assert_true(tar_header(block, "m-q8/model.gguf", SIZES[i]));
        assert_int_equal(tar_parse(&t, block), TAR_FILE);
        assert_string_equal(t.name, "m-q8/model.gguf");
        assert_int_equal(t.bytes, SIZES[i]);
        block[3] ^= 1; /* the checksum sees it */
        assert_int_equal(tar_parse(&t, block), TAR_BAD);
    }
    char name[TAR_NAME_MAX + 2] = "";
    for (size_t n = 0; n < 240; n += 24)
        memcpy(name + n, "twenty-four-characters-/", 25);
    memcpy(name + 240, "x", 2);
    assert_true(tar_header(block, name, 5));
    assert_int_equal(tar_parse(&t, block), TAR_FILE);
    assert_string_equal(t.name, name);
    memset(name, 'a', 101);
    name[101] = '\0';
    assert_false(tar_header(block, name, 5)); /* nowhere to divide it */
    memset(block, 0, sizeof(block));
    assert_int_equal(tar_parse(&t, block), TAR_END);
    assert_int_equal(tar_padding(0), 0);
    assert_int_equal(tar_padding(1), 511);
    assert_int_equal(tar_padding(512), 0);
}

/* ---- signatures and hashes ---- */

static void test_signatures(void **state)
{
    (void)state;
    char dir[] = "/tmp/kontor-hub-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char key[SIGN_PUBLIC_HEX + 1], again[SIGN_PUBLIC_HEX + 1], found[SIGN_PUBLIC_HEX + 1];
    struct buf sig = { 0 }, second = { 0 };
    struct kt_error err = { 0 };
    struct span text = SPAN("{\"a\": 1}\n");
    assert_int_equal(sign_manifest(&sig, key, dir, text, &err), KT_OK);
    assert_int_equal(sign_manifest(&second, again, dir, text, &err), KT_OK);
    assert_string_equal(key, again); /* the home keeps its key */
    assert_int_equal(sign_check(found, buf_span(&sig), text, "x", &err), KT_OK);
    assert_string_equal(found, key);
    assert_int_equal(sign_check(found, buf_span(&sig), SPAN("{\"a\": 2}\n"), "x", &err), KT_E_KEY);
    for (size_t i = 0; i < sig.len; i++) {
        sig.ptr[i] ^= 1;
        assert_int_equal(sign_check(found, buf_span(&sig), text, "x", &err), KT_E_KEY);
        sig.ptr[i] ^= 1;
    }
    assert_int_equal(sign_check(found, span_sub(buf_span(&sig), 0, sig.len - 1), text, "x", &err),
                     KT_E_KEY);
    char *path = path_join(dir, "sign.key");
    assert_int_equal(file_replace(path, "KTSIGN1\n", 8, 0600, &err), KT_OK);
    assert_int_equal(sign_manifest(&second, again, dir, text, &err), KT_E_KEY);
    free(path);
    buf_deinit(&sig);
    buf_deinit(&second);
    assert_int_equal(tree_remove(dir, &err), KT_OK);
}

static void test_hashes(void **state)
{
    (void)state;
    char sha[65], git[41];
    struct hasher *h = hasher_create(6);
    hasher_add(h, "what", 4);
    hasher_add(h, "ev", 2);
    hasher_end(h, sha, git);
    hasher_destroy(h);
    /* printf 'whatev' | sha256sum; printf 'whatev' | git hash-object --stdin */
    assert_string_equal(sha, "2b4d292cea6beb3839b4ddf3d497ef9b93e19ef1237158a6f3eb1ff0f0b45f2e");
    assert_string_equal(git, "73f4ac6bd856f9db29f8cd69c66ff158c9e726ab");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_names),
        cmocka_unit_test(test_paths_stay_inside),
        cmocka_unit_test(test_text_for_terminals),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_builtin_catalogue),
        cmocka_unit_test(test_memory_of_catalogue),
        cmocka_unit_test(test_catalogue_refuses),
        cmocka_unit_test(test_catalogue_paths),
        cmocka_unit_test(test_reply_heads),
        cmocka_unit_test(test_tar_headers),
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
