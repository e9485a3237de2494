/* Who we are there is who the other end of the socket is (sshd's process, in the login's name), not our own uid, which GDBus would say and
 * be refused for. D-Bus has a word for that: EXTERNAL without a name (specification, "EXTERNAL"). GDBus has a flag for it,
 * CROSS_NAMESPACE, and 2.74 refuses it where connections are made; so the few lines are said here, before GDBus gets the stream. The bus
 * says nothing more before it is greeted, so nothing that is its is read here. */
#include "agents/guest/services/dbus_foreign.h"

#include <string.h>

#define ANSWER_MAX_BYTES 1024
#define NOBODY "nobody is behind the socket: does the machine run a system bus, and its sshd allow it to be used (AllowStreamLocalForwarding)?"

static const char login[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";

typedef struct Opening {
    GIOStream *stream;
    char answer[ANSWER_MAX_BYTES];
    size_t bytes;
} Opening;

static void opening_free(void *data)
{
    Opening *opening = data;

    g_clear_object(&opening->stream);
    g_free(opening);
}

static void on_open(GObject *source, GAsyncResult *result, void *user)
{
    g_autoptr(GTask) task = user;
    g_autoptr(GError) error = NULL;
    GDBusConnection *connection = g_dbus_connection_new_finish(result, &error);

    if (connection == NULL)
        g_task_return_error(task, g_steal_pointer(&error));
    else
        g_task_return_pointer(task, connection, g_object_unref);
}

/* It ends, or is reset, before a word was said. @error: (transfer full), may be NULL. */
static void nobody(GTask *task, GError *error)
{
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        g_task_return_error(task, error);
        return;
    }
    g_clear_error(&error);
    g_task_return_new_error(task, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED, "%s", NOBODY);
}

static void read_more(GTask *task);

/* "DATA\r\nOK guid\r\n", or REJECTED. */
static void on_read(GObject *source, GAsyncResult *result, void *user)
{
    g_autoptr(GTask) task = user;
    g_autoptr(GError) error = NULL;
    gssize n = g_input_stream_read_finish(G_INPUT_STREAM(source), result, &error);
    Opening *opening = g_task_get_task_data(task);

    if (n <= 0) {
        nobody(task, g_steal_pointer(&error));
        return;
    }
    opening->bytes += (size_t) n;
    const char *ok = g_strstr_len(opening->answer, (gssize) opening->bytes, "OK ");
    if (ok != NULL && opening->answer[opening->bytes - 1] == '\n') {
        g_dbus_connection_new(opening->stream, NULL, G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION, NULL, g_task_get_cancellable(task), on_open,
                              g_object_ref(task));
        return;
    }
    if (opening->bytes == ANSWER_MAX_BYTES || g_strstr_len(opening->answer, (gssize) opening->bytes, "REJECTED") != NULL)
        g_task_return_new_error(task, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED, "the bus does not let us in");
    else
        read_more(task);
}

static void read_more(GTask *task)
{
    Opening *opening = g_task_get_task_data(task);

    g_input_stream_read_async(g_io_stream_get_input_stream(opening->stream), opening->answer + opening->bytes, ANSWER_MAX_BYTES - opening->bytes,
                              G_PRIORITY_DEFAULT, g_task_get_cancellable(task), on_read, g_object_ref(task));
}

static void on_written(GObject *source, GAsyncResult *result, void *user)
{
    g_autoptr(GTask) task = user;
    g_autoptr(GError) error = NULL;

    if (!g_output_stream_write_all_finish(G_OUTPUT_STREAM(source), result, NULL, &error))
        nobody(task, g_steal_pointer(&error));
    else
        read_more(task);
}

static void on_stream(GObject *source, GAsyncResult *result, void *user)
{
    g_autoptr(GTask) task = user;
    g_autoptr(GError) error = NULL;
    Opening *opening = g_task_get_task_data(task);

    opening->stream = g_dbus_address_get_stream_finish(result, NULL, &error);
    if (opening->stream == NULL) {
        g_task_return_error(task, g_steal_pointer(&error));
        return;
    }
    g_output_stream_write_all_async(g_io_stream_get_output_stream(opening->stream), login, sizeof login - 1, G_PRIORITY_DEFAULT,
                                    g_task_get_cancellable(task), on_written, g_object_ref(task));
}

void dbus_foreign_open(const char *address, GCancellable *cancel, GAsyncReadyCallback done, void *user)
{
    GTask *task = g_task_new(NULL, cancel, done, user);

    g_task_set_task_data(task, g_new0(Opening, 1), opening_free);
    g_dbus_address_get_stream(address, cancel, on_stream, task);
}

GDBusConnection *dbus_foreign_open_finish(GAsyncResult *result, GError **error) { return g_task_propagate_pointer(G_TASK(result), error); }
