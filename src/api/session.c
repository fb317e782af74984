/* api/session.c: browsers log in with a name and a password and get a cookie that scripts cannot read, and a
 * token that they must repeat, which other pages cannot. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "api/api_priv.h"

static json_t *who_json(const struct identity *who)
{
    return json_pack("{s:s,s:s,s:s?}", "user", who->name, "role", who->admin ? "admin" : "member",
                     "csrf_token", who->by_session ? who->csrf : NULL);
}

static void set_cookie(struct call *c, const char *token, const char *more)
{
    char cookie[256];
    snprintf(cookie, sizeof(cookie), "kontor_session=%s; Path=/; HttpOnly; SameSite=Strict%s%s",
             token, http_is_tls(c->rq) || c->api->opts.n_hosts ? "; Secure" : "", more);
    http_field(c->rq, "Set-Cookie", cookie);
}

/* Who tries: behind a proxy of this machine (--host says that there is one) the address that it added last. A local account
 * could make one up; the tries of a name are counted all the same. */
static void address_of(struct call *c, char out[static INET6_ADDRSTRLEN])
{
    const char *peer = http_peer(c->rq), *list = http_header(c->rq, "X-Forwarded-For");
    bool proxied =
        c->api->opts.n_hosts && (strncmp(peer, "127.", 4) == 0 || strcmp(peer, "::1") == 0);
    const char *last = list ? strrchr(list, ',') : NULL;
    struct span named = span_trim(span_of(last ? last + 1 : list ? list : ""));
    unsigned char binary[sizeof(struct in6_addr)];
    snprintf(out, INET6_ADDRSTRLEN, "%s", peer);
    if (!proxied || named.len == 0 || named.len >= INET6_ADDRSTRLEN)
        return;
    char text[INET6_ADDRSTRLEN];
    snprintf(text, sizeof(text), "%.*s", (int)named.len, named.ptr);
    if (inet_pton(AF_INET, text, binary) == 1 || inet_pton(AF_INET6, text, binary) == 1)
        snprintf(out, INET6_ADDRSTRLEN, "%s", text);
}

void handle_login(struct call *c)
{
    static const struct param PARAMS[] = { { "name", PARAM_USED, NULL, NULL },
                                           { "password", PARAM_USED, NULL, NULL } };
    const char *name = NULL, *password = NULL;
    if (!params_check(c, PARAMS, ARRAY_LEN(PARAMS)) || !param_required(c, "name") ||
        !param_required(c, "password") || !param_string(c, "name", &name) ||
        !param_string(c, "password", &password))
        return;
    char token[ACCESS_SECRET_MAX];
    unsigned wait_s = 0;
    struct identity who;
    struct kt_error err;
    char address[INET6_ADDRSTRLEN];
    address_of(c, address);
    enum kt_status st =
        access_login(c->api->opts.access, name, password, address, token, &who, &wait_s, &err);
    if (st) {
        if (st == KT_E_KEY)
            atomic_fetch_add(&c->api->counts.logins_failed, 1);
        if (wait_s) {
            char text[16];
            snprintf(text, sizeof(text), "%u", wait_s);
            http_field(c->rq, "Retry-After", text);
        }
        reply_kt_error(c, &err);
        return;
    }
    set_cookie(c, token, "");
    sodium_memzero(token, sizeof(token));
    reply_json(c, 200, who_json(&who));
}

void handle_logout(struct call *c)
{
    struct span token;
    struct kt_error err;
    if (http_cookie(c->rq, "kontor_session", &token) &&
        access_logout(c->api->opts.access, token, &err)) {
        reply_kt_error(c, &err);
        return;
    }
    set_cookie(c, "", "; Max-Age=0");
    reply_json(c, 200, json_object());
}

void handle_session(struct call *c)
{
    reply_json(c, 200, who_json(&c->who));
}
