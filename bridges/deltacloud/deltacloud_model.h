/* What a Deltacloud server says, as plain data: instances, read from the JSON of its API (version 1.1: models/instance.rb of Apache
 * Deltacloud). An answer is taken whole or not at all: half a list would make the others look removed. Thread: any. */
#ifndef MEND_DELTACLOUD_MODEL_H
#define MEND_DELTACLOUD_MODEL_H

#include "lib/base/base.h"

/* Which transitions the server offers now, of the instance's links. */
typedef enum { DELTACLOUD_START = 1, DELTACLOUD_STOP = 2, DELTACLOUD_REBOOT = 4, DELTACLOUD_DESTROY = 8 } DeltacloudOffer;

/* GONE: FINISH, it will not be again. BROKEN: ERROR, in which it may run or not. */
typedef enum { DELTACLOUD_COMES, DELTACLOUD_RUNS, DELTACLOUD_GOES, DELTACLOUD_DOWN, DELTACLOUD_GONE, DELTACLOUD_BROKEN, DELTACLOUD_ODD } DeltacloudState;

typedef struct DeltacloudInstance {
    char *id;      /* the cloud's own, of any form */
    char *name, *address; /* NULL: not said */
    char *word;    /* its state as the server has it: "RUNNING" */
    DeltacloudState state;
    unsigned offers; /* of DeltacloudOffer */
} DeltacloudInstance;

#define DELTACLOUD_ERROR deltacloud_error_quark()
GQuark deltacloud_error_quark(void);
typedef enum { DELTACLOUD_ERROR_MALFORMED, DELTACLOUD_ERROR_LOGIN } DeltacloudError;

/* Of GET /instances: DeltacloudInstance, each once. NULL: error that names what is wrong. */
#define DELTACLOUD_LIST_MAX 100000
GPtrArray *deltacloud_instances_read(const json_t *body, GError **error);
/* Of GET /instances/ID. NULL: as above. */
DeltacloudInstance *deltacloud_instance_read(const json_t *body, GError **error);
void deltacloud_instance_free(DeltacloudInstance *instance); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DeltacloudInstance, deltacloud_instance_free)

#endif
