/* Folders that are kept in the index as they are.
 *
 *   arm the watches -> run (add.c: a stat a file, what is new is read) -> wait --- quiet after a change ---> again
 *                                                                          |--- files were being written -> again
 *                                                                          |--- a look is due -----------> again
 *                                                                          '--- trouble, busy -----------> again
 *
 * Every run looks at everything: it costs a stat a file, and there is no journal that could be wrong, so lost events, a
 * kill or a crash need no repair. */
#include <string.h>

#include "base/clock.h"
#include "base/size.h"
#include "kontor/office.h"
#include "office/notify.h"

enum {
    POLL_MS = 200,
    QUIET_MS = 500,     /* after the last change */
    LONGEST_MS = 10000, /* of changes without a pause: then it runs all the same */
    SETTLE_MS = 2000,   /* of a file that was just written */
    BUSY_MS = 500,      /* between attempts while another writes */
    TROUBLE_MS = 10000, /* a share that is not there */
    BLIND_EVERY_S = 60,
};

struct watcher {
    struct kt_store *store;
    const char *matter;
    const char *const *paths;
    size_t n_paths;
    const struct kt_watch_options *opts;
    struct kt_add_options add;
    struct notify notify;
    bool said_busy;
};

static uint64_t now_ms(void)
{
    return clock_now_ns() / 1000000;
}

static bool on_progress(void *ctx, size_t done, size_t total, const char *path)
{
    const struct watcher *w = ctx;
    const struct kt_add_options *o = &w->opts->add;
    return w->opts->go_on(w->opts->ctx) &&
           (!o->on_progress || o->on_progress(o->ctx, done, total, path));
}

/* One run; *again_ms: when the next one is due without any event, 0: not at all. */
static enum kt_status run_once(struct watcher *w, uint64_t *again_ms, struct kt_error *err)
{
    struct kt_matter *m = NULL;
    struct kt_add_report r = { 0 };
    notify_arm(&w->notify, w->paths, w->n_paths);
    uint32_t every = w->opts->every_s ? w->opts->every_s : w->notify.blind ? BLIND_EVERY_S : 0;
    *again_ms = (uint64_t)every * 1000;
    enum kt_status st = kt_matter_open(&m, w->store, w->matter, KT_WRITE, err);
    if (st == KT_E_BUSY) {
        *again_ms = BUSY_MS;
        if (!w->said_busy)
            w->opts->on_trouble(w->opts->ctx, err);
        w->said_busy = true;
        return KT_OK;
    }
    w->said_busy = false;
    if (st)
        return st;
    st = kt_office_add(m, w->paths, w->n_paths, &w->add, &r, err);
    kt_matter_close(m);
    if (!st) {
        w->add.leave_failed = true;
        if (r.files.waiting)
            *again_ms = w->add.settle_ms;
        w->opts->on_run(w->opts->ctx, &r);
    } else if (st == KT_E_NOTFOUND || st == KT_E_IO) {
        w->opts->on_trouble(w->opts->ctx, err);
        *again_ms = TROUBLE_MS;
        st = KT_OK;
    }
    kt_add_report_deinit(&r);
    return st;
}

static enum kt_status loop(struct watcher *w, struct kt_error *err)
{
    uint64_t due = now_ms(), first = 0; /* first: when the changes began that no run has seen */
    while (w->opts->go_on(w->opts->ctx)) {
        uint64_t now = now_ms(), again;
        if (due && now >= due) {
            first = 0;
            enum kt_status st = run_once(w, &again, err);
            if (st == KT_E_CANCELLED)
                return KT_OK;
            if (st)
                return st;
            due = again ? now_ms() + again : 0;
        }
        if (notify_wait(&w->notify, POLL_MS)) {
            now = now_ms();
            first = first ? first : now;
            due = MIN(now + QUIET_MS, first + LONGEST_MS);
        }
    }
    return KT_OK;
}

enum kt_status kt_office_watch(struct kt_store *s, const char *matter, const char *const *paths,
                               size_t n_paths, const struct kt_watch_options *opts,
                               struct kt_error *err)
{
    struct watcher w = { .store = s,
                         .matter = matter,
                         .paths = paths,
                         .n_paths = n_paths,
                         .opts = opts,
                         .add = opts->add };
    w.add.on_progress = on_progress;
    w.add.ctx = &w;
    if (!w.add.settle_ms)
        w.add.settle_ms = SETTLE_MS;
    enum kt_status st = notify_open(&w.notify, err);
    if (!st)
        st = loop(&w, err);
    notify_close(&w.notify);
    return st;
}
