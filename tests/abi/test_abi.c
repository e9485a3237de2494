/* Where every field of plugin.h lies on a 64-bit machine. A change here breaks plugins that exist: fields go to the end, the minor
 * goes up, a new line comes here; no line is ever changed. */
#include "broker-plugin/plugin.h"

#include <glib.h>

#define AT(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #type "." #field " moved")
#define BYTES(type, size) _Static_assert(sizeof(type) == (size), #type " changed its size")

#if UINTPTR_MAX == UINT64_MAX
/* frozen array elements */
BYTES(mend_str, 16);
BYTES(mend_prop, 56);
BYTES(mend_metric, 24);
AT(mend_prop, type, 16); AT(mend_prop, str, 24); AT(mend_prop, i64, 40); AT(mend_prop, f64, 48);
/* 1.0 */
AT(mend_error, code, 8); AT(mend_error, text, 12);
AT(mend_msg, peer, 8); AT(mend_msg, address, 16); AT(mend_msg, subject, 32); AT(mend_msg, message_id, 48);
AT(mend_msg, correlation_id, 64); AT(mend_msg, reply_to, 80); AT(mend_msg, content_type, 96); AT(mend_msg, body, 112);
AT(mend_msg, body_kind, 128); AT(mend_msg, delivery_count, 132); AT(mend_msg, props, 136); AT(mend_msg, n_props, 144);
AT(mend_msg, created_us, 152); AT(mend_msg, ttl_us, 160); AT(mend_msg, durable, 168); AT(mend_msg, priority, 169);
AT(mend_peer, id, 8); AT(mend_peer, user, 16); AT(mend_peer, role, 32); AT(mend_peer, mechanism, 48);
AT(mend_peer, container_id, 64); AT(mend_peer, address, 80); AT(mend_peer, opened_us, 96);
AT(mend_subscription, address, 8); AT(mend_subscription, subject, 24); AT(mend_subscription, mode, 40); AT(mend_subscription, window, 48);
AT(mend_node, address, 8); AT(mend_node, kind, 24); AT(mend_node, ring, 28); AT(mend_node, max_messages, 32);
AT(mend_node, max_bytes, 40); AT(mend_node, ttl_us, 48); AT(mend_node, last_value_key, 56); AT(mend_node, dead_letter, 72);
AT(mend_node, owner, 88); AT(mend_node, durable, 104);
AT(mend_host, abi_major, 8); AT(mend_host, abi_minor, 12); AT(mend_host, caps, 16); AT(mend_host, kind, 24);
AT(mend_host, now_us, 32); AT(mend_host, wall_us, 40); AT(mend_host, random, 48); AT(mend_host, timer_start, 56);
AT(mend_host, timer_stop, 64); AT(mend_host, post, 72); AT(mend_host, subscribe, 80); AT(mend_host, unsubscribe, 88);
AT(mend_host, settle, 96); AT(mend_host, publish, 104); AT(mend_host, log, 112); AT(mend_host, count, 120);
AT(mend_host, failed, 128); AT(mend_host, peers_watch, 136); AT(mend_host, peer_get, 144); AT(mend_host, peer_drop, 152);
AT(mend_host, declare, 160); AT(mend_host, undeclare, 168); AT(mend_host, state_put, 176); AT(mend_host, state_get, 184);
AT(mend_plugin, magic, 0); AT(mend_plugin, abi_major, 4); AT(mend_plugin, abi_minor, 8); AT(mend_plugin, size, 16);
AT(mend_plugin, name, 24); AT(mend_plugin, version, 32); AT(mend_plugin, config_schema, 40); AT(mend_plugin, needs, 48);
AT(mend_plugin, metrics, 56); AT(mend_plugin, n_metrics, 64); AT(mend_plugin, create, 72); AT(mend_plugin, start, 80);
AT(mend_plugin, reload, 88); AT(mend_plugin, drain, 96); AT(mend_plugin, destroy, 104);
#endif

static void test_an_older_host_is_told_by_its_size(void)
{
    mend_host host = { .size = offsetof(mend_host, state_put) };

    host.state_get = (mend_rc (*)(mend_host *, mend_str, mend_str *)) (void *) &host; /* there, but beyond what the host vouches for */
    g_assert_false(MEND_HAS(&host, state_get));
    g_assert_false(MEND_HAS(&host, declare)); /* vouched for, but empty */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/abi/has", test_an_older_host_is_told_by_its_size);
    return g_test_run();
}
