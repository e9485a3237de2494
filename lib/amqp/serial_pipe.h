/* Bytes between a serial port, where sessions are framed (serial_session.h), and a plain stream: in the guest the stream its AMQP client
 * uses, in the host the connection to the broker. Back-pressure goes through both ways: of what one side does not take at most some frames
 * are held. Thread: the one that iterates the thread-default main context of serial_pipe_new(). */
#ifndef MEND_AMQP_SERIAL_PIPE_H
#define MEND_AMQP_SERIAL_PIPE_H

#include "lib/base/base.h"

#include <glib.h>

typedef struct SerialPipe SerialPipe;

typedef struct SerialPipeOptions {
    bool host;
    bool raw; /* the port is a stream of its own (vsock): no frames, one session, which is open from serial_pipe_attach() on */
    uint64_t bytes_per_s; /* each way, at most; 0: no limit */
    /* None runs inside a call of yours. All but `opened` and `asked` may be NULL for the end that never gets them. The pipe may be freed
     * in each. */
    void (*asked)(SerialPipe *pipe, void *user);  /* host: answer by serial_pipe_attach() or serial_pipe_close() */
    void (*opened)(SerialPipe *pipe, void *user); /* guest: attach a stream now */
    /* The session is over: ended by the other end, or the stream's end came. The stream is closed. The port goes on. */
    void (*closed)(SerialPipe *pipe, const char *why, void *user);
    void (*gone)(SerialPipe *pipe, const char *why, void *user); /* the port itself: free the pipe */
    void *user;
} SerialPipeOptions;

/* @port: consumed; made non-blocking. Never NULL. */
SerialPipe *serial_pipe_new(int port, const SerialPipeOptions *options /* copied */);
void serial_pipe_open(SerialPipe *pipe);               /* guest: asks until it is answered */
void serial_pipe_attach(SerialPipe *pipe, int stream); /* consumed; made non-blocking */
void serial_pipe_close(SerialPipe *pipe, const char *why); /* the session; `closed` is not called. Nothing when there is none */
bool serial_pipe_is_open(const SerialPipe *pipe);
uint64_t serial_pipe_moved_bytes(const SerialPipe *pipe); /* both ways, payload only */
/* Tells the other end, as far as the port takes it at once; closes port and stream. NULL is fine. */
void serial_pipe_free(SerialPipe *pipe);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SerialPipe, serial_pipe_free)

#endif
