/* api/ops.c: for those who run the server. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/api_priv.h"
#include "api/openapi.h"
#include "kontor/version.h"

void handle_health(struct call *c)
{
    reply_json(c, 200, json_pack("{s:s}", "status", "ok"));
}

/* Ready while the queue takes more. */
void handle_ready(struct call *c)
{
    struct desk_counts n;
    crew_counts(c->crew, &n);
    reply_json(c, 200,
               json_pack("{s:s,s:I,s:I}", "status", "ready", "waiting", (json_int_t)n.waiting,
                         "running", (json_int_t)n.running));
}

void handle_openapi(struct call *c)
{
    http_reply(c->rq, 200, "application/json", (const char *)openapi_json, openapi_json_len);
}

/* ---- Prometheus ------------------------------------------------------------------------------ */

static void metric(struct buf *b, const char *name, const char *type, const char *help,
                   double value)
{
    buf_printf(b, "# HELP kontor_%s %s\n# TYPE kontor_%s %s\nkontor_%s %.17g\n", name, help, name,
               type, name, value);
}

static double resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%*u %llu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void request_metrics(struct buf *b, struct api *a)
{
    static const char *const CLASS[] = { "client_gone", "1xx", "2xx", "3xx", "4xx", "5xx" };
    buf_append_str(b, "# HELP kontor_http_requests_total Requests by outcome.\n"
                      "# TYPE kontor_http_requests_total counter\n");
    for (size_t i = 0; i < ARRAY_LEN(CLASS); i++)
        if (i != 1)
            buf_printf(b, "kontor_http_requests_total{outcome=\"%s\"} %llu\n", CLASS[i],
                       (unsigned long long)atomic_load(&a->counts.requests[i]));
    buf_printf(b,
               "# HELP kontor_http_request_seconds Time from head to last byte.\n"
               "# TYPE kontor_http_request_seconds summary\n"
               "kontor_http_request_seconds_sum %.6f\nkontor_http_request_seconds_count %llu\n",
               (double)atomic_load(&a->counts.seconds_us) * 1e-6,
               (unsigned long long)atomic_load(&a->counts.n_seconds));
}

void handle_metrics(struct call *c)
{
    struct api *a = c->api;
    struct desk_counts n;
    struct http_counts h;
    struct buf b = { 0 };
    crew_counts(c->crew, &n);
    http_server_counts(a->http, &h);
    buf_printf(&b,
               "# HELP kontor_build_info Version.\n# TYPE kontor_build_info "
               "gauge\nkontor_build_info{version=\"%s\"} 1\n",
               KT_VERSION);
    request_metrics(&b, a);
    metric(&b, "http_connections", "gauge", "Open connections.", (double)h.connections);
    metric(&b, "http_handlers", "gauge", "Requests being worked on.", (double)h.handlers);
    metric(&b, "http_body_bytes", "gauge", "Request bodies in memory.", (double)h.body_bytes);
    metric(&b, "http_refused_heads_total", "counter", "Requests refused for their form.",
           (double)h.refused_heads);
    metric(&b, "access_denied_total", "counter",
           "Requests without the right to what they asked for.",
           (double)atomic_load(&a->counts.denied));
    metric(&b, "logins_failed_total", "counter", "Wrong names or passwords.",
           (double)atomic_load(&a->counts.logins_failed));
    metric(&b, "queue_waiting", "gauge", "Requests that wait for a model.", (double)n.waiting);
    metric(&b, "queue_running", "gauge", "Requests that a model works on.", (double)n.running);
    metric(&b, "queue_refused_total", "counter", "Requests refused because the queue was full.",
           (double)n.refused);
    metric(&b, "generations_cancelled_total", "counter", "Generations whose client left.",
           (double)n.cancelled);
    metric(&b, "answers_paused_total", "counter",
           "Background answers that made room for somebody.", (double)n.paused);
    metric(&b, "warm_contexts", "gauge", "Contexts in memory.", (double)n.warm);
    metric(&b, "warm_contexts_max", "gauge", "Contexts that there may be.", (double)n.warm_max);
    metric(&b, "checkpoints", "gauge", "Beginnings of prompts kept in memory.",
           (double)n.checkpoints);
    metric(&b, "checkpoint_bytes", "gauge", "Memory that they take.", (double)n.checkpoint_bytes);
    metric(&b, "checkpoint_bytes_max", "gauge", "Memory that they may take.",
           (double)n.checkpoint_bytes_max);
    metric(&b, "checkpoint_hits_total", "counter", "Prompts that began at one.",
           (double)n.checkpoint_hits);
    metric(&b, "memory_limit_bytes", "gauge", "What models and conversations stay below.",
           (double)n.memory_limit);
    metric(&b, "warm_bytes_max", "gauge", "Memory that they may take.", (double)n.warm_bytes);
    metric(&b, "prompt_tokens_total", "counter", "Tokens of prompts.", (double)n.tokens_prompt);
    metric(&b, "cached_tokens_total", "counter",
           "Tokens of prompts that did not have to be computed.", (double)n.tokens_cached);
    metric(&b, "generated_tokens_total", "counter", "Tokens written.", (double)n.tokens_generated);
    metric(&b, "prompt_seconds_total", "counter", "Time spent on prompts.", n.prompt_s);
    metric(&b, "generation_seconds_total", "counter", "Time spent writing.", n.decode_s);
    metric(&b, "resident_memory_bytes", "gauge", "Memory of the process.", resident_bytes());
    if (b.failed)
        reply_error(c, 503, NULL, NULL, NULL, "out of memory");
    else
        http_reply(c->rq, 200, "text/plain; version=0.0.4; charset=utf-8", b.ptr, b.len);
    buf_deinit(&b);
}
