/* Matahari's Network: lists interfaces, tells of them, and brings those of an allow-list up and down. Thread: the owner's main loop. */
#ifndef MEND_GUEST_NETWORK_H
#define MEND_GUEST_NETWORK_H

#include "agents/guest/classes.h"

typedef struct NetworkClass NetworkClass;

typedef struct NetworkOptions {
    char *const *allowed; /* names start and stop may touch, * and ? as in a shell; NULL or empty: none. Borrowed, outlives the class */
    bool allow_bus;       /* stop may take down what a connection of this process goes over, too */
} NetworkOptions;

NetworkClass *network_class_new(const ClassContext *context, const NetworkOptions *options);
void network_class_free(NetworkClass *network); /* NULL is fine; what is under way is answered as interrupted */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NetworkClass, network_class_free)

#endif
