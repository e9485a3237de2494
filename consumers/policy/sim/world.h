/* A world: what is true, and who knows what of it. Between the files of the simulator only.
 *
 *   truth       Host Vm Service Storage: written by hosts.c vms.c services.c, read by everybody
 *   agents      a guest agent per VM, a host agent per host: see the truth of their own place, obey (agents.c)
 *   Broker      with the plugin: hears agents over links that break, publishes events with numbers (bus.c)
 *   Seat        an engine with its subscription, its clock and its memory of what it was fed (seat.c)
 *   checks      hold the rules against truth and against what each engine was told (check.c) */
#ifndef MEND_POLICY_SIM_WORLD_H
#define MEND_POLICY_SIM_WORLD_H

#include "consumers/policy/sim/agenda.h"
#include "consumers/policy/sim/random.h"
#include "consumers/policy/sim/sim.h"

#define WALL_BEGIN_US INT64_C(1800000000000000)
#define HEARTBEAT_US (5 * US_PER_S)
#define LEASE_US (80 * US_PER_S)        /* after its last renewal a lease is anybody's */
#define LEASE_KILL_US (60 * US_PER_S)   /* a host that cannot renew kills the VM by then, or its watchdog resets it */
#define SEATS 2
#define COPIES_MAX 3

enum { FENCE_BMC, FENCE_OUTLET, FENCE_LEVELS };

typedef struct Host Host;
typedef struct Vm Vm;
typedef struct Agent Agent;
typedef struct Order Order;
typedef struct Seat Seat;

typedef enum { THING_HOST, THING_VM, THING_SERVICE, THING_STORAGE, THING_AGENT, THING_SITE } ThingKind;

/* Something an agent says. Texts are constants or live as long as the world. */
typedef struct Fact {
    const char *kind, *intent, *reason, *channel, *says, *job;
    const Host *host, *to, *from, *by;
    char boot_id[24];
    json_t *vms;                   /* host.up: the inventory, owned */
} Fact;

/* What every entity has. */
typedef struct Thing {
    ThingKind kind;
    unsigned number;               /* over all things */
    char id[24];
    char path[64];
    bool dropped;
    Fact told;                     /* what the plugin holds to be true; kind NULL: nothing */
    char told_by[64];
    uint64_t sequence;
    int64_t since_us;              /* the broker's wall clock */
} Thing;

typedef enum { LINK_DOWN, LINK_UP, LINK_STALLED } LinkState;
typedef enum { LIVE_NEVER, LIVE_UP, LIVE_LATE, LIVE_LOST, LIVE_CLOSED } LiveState;

struct Agent {
    Thing thing;                   /* agent/NAME */
    Host *host;                    /* a host agent's; NULL: a guest's */
    Vm *vm;
    bool running;
    unsigned generation;           /* its starts */
    int64_t clock_us;              /* how far its wall clock is off */
    uint64_t epoch;                /* newest it has seen */
    GHashTable *ran;               /* command id -> Ran, on its disk */
    GPtrArray *busy;               /* of Order, borrowed: under way */
    LinkState link;
    unsigned link_number;          /* a new one for each connection */
    GQueue outbox;                 /* of Message: on its way to the plugin */
    int64_t outbox_us;             /* when the last one arrives */
    int64_t stalled_us;
    GQueue control;                /* of Order, borrowed: its queue at the broker */
    bool dirty;                    /* something it said was lost: the next digest repairs it */
    LiveState live;                /* as the plugin has it */
    unsigned live_number;          /* of changes, for its timers */
    unsigned known_generation;
    char known_boot[24];
    Random dice;
};

typedef struct Message {
    enum { MESSAGE_HELLO, MESSAGE_DIGEST, MESSAGE_FACT, MESSAGE_RESULT } kind;
    unsigned link, generation;
    int64_t at_us;                 /* arrives then */
    char boot_id[24];
    Thing *thing;
    Fact fact;
    GArray *digest;                /* of Told */
    Order *order;
    Result *result;
} Message;

typedef struct Told {
    Thing *thing;
    Fact fact;
} Told;

struct Host {
    Thing thing;
    unsigned rack, feed;
    uint64_t memory_bytes;
    bool powered, up, hung, nic, storage, bmc;
    bool libvirt;                  /* its libvirtd answers */
    unsigned power_management;     /* 1 << FENCE_…: devices it has */
    bool bmc_locked, outlet;       /* another password; its outlet answers */
    bool fence_in_rack;            /* only hosts of its rack reach its devices */
    int64_t dump_until_us;         /* its kernel writes a dump until then */
    unsigned boot;
    unsigned life;                 /* of changes of power and OS, for timers */
    char boot_id[24];
    int64_t up_us;                 /* since then it lives */
    int64_t silent_us;             /* its storage heartbeats and leases stopped then; 0: they go on */
    Agent agent;
    bool watched, was_well;        /* others look at it; it was well when they did last */
    int64_t fenced_off_us;         /* verified off by a fence */
    Random dice;
};

typedef enum { COPY_RUNNING, COPY_PAUSED, COPY_SUSPENDED } CopyState;
typedef enum { GUEST_OFF, GUEST_BOOTING, GUEST_UP, GUEST_HUNG, GUEST_PANICKED } GuestState;

typedef struct Copy {
    Host *host;
    CopyState state;
    const char *reason;
} Copy;

struct Vm {
    Thing thing;
    bool ha, lease;
    uint64_t memory_bytes;
    unsigned storage;
    Copy copies[COPIES_MAX];
    unsigned n_copies;
    Host *home;                    /* where it ran last */
    GuestState guest;
    unsigned boot, life;
    char boot_id[24];
    bool wanted;                   /* false: somebody stopped it */
    const char *ended;             /* how it ended at home: "stopped" "crashed" */
    const char *ended_intent;
    Host *moving_to;
    Host *handed_to;               /* for a moment of a migration: it stands still, and that host has its lease */
    unsigned job;                  /* number of the job under way; 0: none */
    const char *job_kind;
    Host *lease_host;
    int64_t lease_until_us;        /* INT64_MAX: renewed; else it expires then */
    bool broken;                   /* never boots */
    Host *victim_of;               /* it was there when the first fault of a scenario hit that host */
    char stopped_for[40];          /* the incident whose command stopped it last */
    bool was_full;                 /* it was paused since its storage is full, and was not seen running since */
    Agent agent;
    GPtrArray *services;           /* of Service, borrowed */
    Random dice;
};

typedef struct Service {
    Thing thing;
    Vm *vm;
    char name[16];
    struct Service *needs;
    const char *state, *intent;    /* "running" "failed" "stopped" "starting" "stopping" */
    bool wanted, broken;
    unsigned life;
    Random dice;
} Service;

typedef struct Storage {
    Thing thing;
    bool works, full, slow;
} Storage;

/* A command on its way and its end. */
struct Order {
    Command *command;
    Agent *agent;
    Thing *target;
    Seat *from;
    bool arrived, answered;
    int64_t attempt;
    int64_t deadline_us;           /* wall clock of the broker */
};

typedef struct Ran {
    Order *order;
    Result *result;                /* NULL: under way */
} Ran;

typedef struct Broker {
    bool up;
    uint64_t sequence, epoch;
    unsigned number;               /* its starts */
    int64_t clock_us;
    Seat *acting;
    bool fault;
    GQueue results;                /* of Result: no engine took them yet */
    Random dice;
} Broker;

/* What an engine was last told of a thing: rules about what it may know are held against this. */
typedef struct Knows {
    uint64_t sequence;
    bool unknown, stopped_on_purpose, paused_by_storage, lease_expired, full;
    int64_t job_us;                /* a job began; 0: none is under way */
    int64_t gone_us[5];            /* hosts: since when each channel says gone, CHANNEL_…; 0: it does not */
    bool off;                      /* told, and not up since */
    guint boot;                    /* hash of its life */
} Knows;
enum { SEEN_SESSION, SEEN_NETWORK, SEEN_STORAGE, SEEN_BMC };

typedef struct Taken {             /* an input, kept for a replay */
    EngineInput input;             /* owned */
    int64_t now_us;
    EngineOutputs *outputs;
} Taken;

struct Seat {
    unsigned number;
    char name[8];
    Engine *engine;                /* NULL: not running */
    bool connected, asking;
    unsigned link_number;
    int64_t base_us, base_wall_us, clock_us;
    int64_t timer_us;
    unsigned timer_number;
    GQueue backlog;                /* of Event: its durable subscription */
    int64_t arrive_us;             /* when the last event arrives */
    int64_t last_now_us;           /* of the life before */
    Knows *knows;                  /* by Thing.number */
    json_t *snapshot;
    GPtrArray *history;            /* of Taken, since the snapshot */
    int64_t guard_us;
    bool paused, resume_owed;
    GHashTable *issued;            /* "incident attempt" -> command id */
    Random dice;
};

typedef struct Fault {
    FaultKind kind;
    int64_t at_us, for_us;
    unsigned a, b;
    bool dropped, on;
} Fault;

struct World {
    const SimOptions *options;
    Agenda agenda;
    int64_t now_us, quiet_us, end_us;
    Host *hosts;
    Vm *vms;
    Service *services;
    Storage storages[3];
    unsigned n_hosts, n_vms, n_services, n_storages, n_racks, n_feeds;
    bool switches[8], feeds[4];    /* they work */
    Thing site;
    GPtrArray *things;             /* by number */
    GHashTable *by_path;
    Broker broker;
    Seat seats[SEATS];
    unsigned n_seats;
    GArray *faults;                /* of Fault */
    GPtrArray *orders;             /* of Order, owned */
    GHashTable *executed;          /* command id -> how often its effect began */
    GHashTable *notices;           /* entity path -> itself: a human was told */
    GArray *issues;                /* of Issue: commands issued, for the budgets */
    bool noise, quiet;
    GString *story;
    SimReport *report;
    Random dice;
};

/* world.c */
World *world_new(const SimOptions *options, SimReport *report);
void world_free(World *w);
void world_play(World *w);
void world_later(World *w, int64_t delay_us, AgendaFn fn, void *subject, int64_t argument);
void world_later_owned(World *w, int64_t delay_us, AgendaFn fn, void *subject, GDestroyNotify drop); /* @fn frees @subject */
bool world_flaw(const World *w, SimFlaw flaw);
void world_fail(World *w, Invariant broken, const char *format, ...) G_GNUC_PRINTF(3, 4);
void world_say(World *w, const char *format, ...) G_GNUC_PRINTF(2, 3); /* a line of the story */
bool chance(World *w, Random *dice, double probability);               /* false without noise */

/* hosts.c */
void host_power_off(World *w, Host *host, const char *why);
void host_power_on(World *w, Host *host);
void host_crash(World *w, Host *host);  /* its kernel; boots again */
void host_hang(World *w, Host *host);
void host_dump(World *w, Host *host, int64_t for_us); /* its kernel panics, writes a dump for so long, and boots */
void host_libvirt(World *w, Host *host, bool works);
void host_watchdog(World *w, Host *host); /* resets it if it hangs */
void host_changed(World *w, Host *host);/* a path to or from it broke or mended */
bool host_lives(const Host *host);
bool host_has_network(const World *w, const Host *host);
bool host_has_storage(const World *w, const Host *host, unsigned storage);
uint64_t host_free_bytes(const World *w, const Host *host);
void host_agent_start(World *w, Host *host);

/* vms.c */
Copy *vm_copy(Vm *vm, const Host *host);
bool vm_runs(const Vm *vm);             /* one copy, not paused */
void vm_begin(World *w, Vm *vm, Host *host, bool boot);
/* @cause: "power" "crash" "command" "operator" "lease" "migrated" "agent" */
void vm_end(World *w, Vm *vm, Host *host, const char *kind, const char *intent, const char *reason, const char *cause);
void vm_pause(World *w, Vm *vm, const char *reason);
bool vm_resume(World *w, Vm *vm);       /* false: its storage does not let it */
void vm_guest_down(World *w, Vm *vm, GuestState to);
void vm_boot(World *w, Vm *vm);
void vm_job(World *w, Vm *vm, const char *kind, int64_t for_us);
void vm_job_end(World *w, Vm *vm, Host *host);
void vm_tell(World *w, Vm *vm, Host *host, const char *kind, const char *intent, const char *reason, const Host *to);
void vm_storage_changed(World *w);

/* leases.c */
void vm_lease_look(World *w, Vm *vm);   /* may it still be renewed? */
bool vm_lease_free(const World *w, const Vm *vm, const Host *for_host);
void vm_lease_take(World *w, Vm *vm, Host *host);
bool vm_lease_release(World *w, Vm *vm, Host *host); /* false: it cannot */
void vm_lease_tell(World *w, Vm *vm, const char *says, const Host *holder);

/* moves.c */
void vm_migrate(World *w, Vm *vm, Host *to, Order *order);

/* fences.c */
void fence_do(World *w, Agent *agent, Order *order);
bool fence_reaches(const Host *proxy, const Host *victim);

/* services.c */
void service_set(World *w, Service *service, const char *state, const char *intent);
void service_fail(World *w, Service *service);
void service_start(World *w, Service *service, Order *order, int64_t delay_us);
void services_down(World *w, Vm *vm);

/* agents.c */
void agent_init(World *w, Agent *agent, Host *host, Vm *vm);
void agent_done(Agent *agent);
void agent_start(World *w, Agent *agent);
void agent_stop(World *w, Agent *agent, bool politely);
void agent_relink(World *w, Agent *agent); /* its path may have changed */
void agent_tell_all(World *w, Agent *agent); /* a digest, soon */
void agent_say(World *w, Agent *agent, Thing *thing, const Fact *fact);
void agent_take(World *w, Agent *agent, Order *order);
void agent_answer(World *w, Agent *agent, Order *order, ResultState state, const char *error, const char *value);
int64_t agent_wall_us(const World *w, const Agent *agent);

/* bus.c */
void fact_clear(Fact *fact);
void message_free(Message *message);
void hub_take(World *w, Agent *agent, Message *message);
void hub_agent_gone(World *w, Agent *agent, bool closed);
void hub_agent_silent(World *w, Agent *agent);
void hub_agent_heard(World *w, Agent *agent);
void hub_stop(World *w);
void hub_start(World *w);
void hub_order(World *w, Seat *seat, Order *order);
void hub_serve(World *w, Agent *agent);
Event *thing_event(World *w, const Thing *thing, const Fact *fact, const char *source, uint64_t sequence, const char *id);
void hub_publish(World *w, Thing *thing, const Fact *fact, const char *source, bool lasting);

/* seat.c */
void seat_start(World *w, Seat *seat, bool first);
void seat_kill(World *w, Seat *seat);
void seat_done(Seat *seat);
void seat_disconnect(World *w, Seat *seat);
void seat_deliver(World *w, Seat *seat, Event *event);
void seat_result(World *w, Seat *seat, Result *result);
void seat_operate(World *w, const char *verb, const char *target, json_t *arguments);
void seat_restore(World *w, Seat *seat);
void seat_look(World *w, Seat *seat);   /* is the seat free? */
int64_t seat_now_us(const World *w, const Seat *seat);

/* witness.c */
void witness_watch(World *w, Host *host);
void witness_dump(World *w, Host *host, const char *says);
void witness_storage(World *w, Storage *storage, const char *kind, const Host *host, const char *reason);

/* faults.c */
void faults_plan(World *w);
void faults_end(World *w);

/* check.c */
typedef struct Issue {
    int64_t at_us;
    const char *action;
    const Thing *target;
    const Host *host;
    unsigned seat;
    guint attempt;                 /* hash of incident and attempt: what a step takes several commands for counts once */
} Issue;

void check_input(World *w, Seat *seat, const EngineInput *input);
void check_command(World *w, Seat *seat, Order *order, bool again);
void check_run(World *w, Agent *agent, Order *order);
void check_copies(World *w, Vm *vm);
void check_end(World *w);
void check_victims(World *w);           /* SimReport.victims…, as it is now */
void check_lease_taken(World *w, const Vm *vm, const Host *host); /* before it is */
void check_lease_expiry(World *w, Vm *vm);
void check_fenced(World *w, const Host *host);                    /* it is about to be switched off */
Thing *thing_find(World *w, const char *path);

#endif
