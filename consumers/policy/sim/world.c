#include "consumers/policy/sim/world.h"

#include <string.h>

#define STORY_MAX (256 * 1024)
#define SETTLE_US (25 * US_PER_MINUTE) /* after the faults: longer than a ladder waits for what is gone, and climbs; jobs can last longer */

bool world_flaw(const World *w, SimFlaw flaw)
{
    return (w->options->flaws >> flaw & 1) != 0;
}

bool chance(World *w, Random *dice, double probability)
{
    return w->noise && !w->quiet && probability > 0 && random_chance(dice, probability);
}

void world_later(World *w, int64_t delay_us, AgendaFn fn, void *subject, int64_t argument)
{
    agenda_put(&w->agenda, (AgendaItem){ .at_us = w->now_us + MAX(delay_us, 0), .fn = fn, .subject = subject, .argument = argument });
}

void world_later_owned(World *w, int64_t delay_us, AgendaFn fn, void *subject, GDestroyNotify drop)
{
    agenda_put(&w->agenda, (AgendaItem){ .at_us = w->now_us + MAX(delay_us, 0), .fn = fn, .subject = subject, .drop = drop });
}

void world_say(World *w, const char *format, ...)
{
    va_list args;
    int64_t ms = w->now_us / US_PER_MS;

    if (w->story == NULL || w->story->len > STORY_MAX)
        return;
    g_string_append_printf(w->story, "%3d:%02d.%03d  ", (int) (ms / 60000), (int) (ms / 1000 % 60), (int) (ms % 1000));
    va_start(args, format);
    g_string_append_vprintf(w->story, format, args);
    va_end(args);
    g_string_append_c(w->story, '\n');
}

void world_fail(World *w, Invariant broken, const char *format, ...)
{
    va_list args;

    if (w->report->broken != INVARIANT_N)
        return;
    va_start(args, format);
    w->report->what = g_strdup_vprintf(format, args);
    va_end(args);
    w->report->broken = broken;
    w->report->at_us = w->now_us;
    world_say(w, "BROKEN %s: %s", invariant_name(broken), w->report->what);
}

Thing *thing_find(World *w, const char *path)
{
    return g_hash_table_lookup(w->by_path, path);
}

/* --- making --- */

static bool is_dropped(const World *w, char letter, unsigned number)
{
    char name[16];

    g_snprintf(name, sizeof name, "%c%u", letter, number);
    for (guint i = 0; w->options->drop != NULL && i < w->options->drop->len; i++)
        if (strcmp(w->options->drop->pdata[i], name) == 0)
            return true;
    return false;
}

static void thing_add(World *w, Thing *thing, ThingKind kind)
{
    thing->kind = kind;
    thing->number = w->things->len;
    g_ptr_array_add(w->things, thing);
    g_hash_table_insert(w->by_path, thing->path, thing);
}

static unsigned sized(Random *dice, unsigned asked, const unsigned range[2])
{
    unsigned drawn = (unsigned) random_between(dice, range[0], range[1]);

    return asked != 0 ? asked : drawn;
}

static void make_hosts(World *w)
{
    w->hosts = g_new0(Host, w->n_hosts);
    for (unsigned i = 0; i < w->n_hosts; i++) {
        Host *host = &w->hosts[i];

        host->dice = random_new(w->options->seed, "host", i);
        host->rack = i % w->n_racks;
        host->feed = i / w->n_racks % w->n_feeds;
        host->memory_bytes = UINT64_C(1) << (36 + random_below(&host->dice, 2));
        host->boot = 1;
        host->powered = host->up = host->nic = host->storage = host->bmc = host->outlet = host->libvirt = !is_dropped(w, 'h', i);
        host->power_management = random_chance(&host->dice, 0.9) ? 1u << FENCE_BMC : 0;
        if (random_chance(&host->dice, 0.25))
            host->power_management |= 1u << FENCE_OUTLET;
        host->fence_in_rack = random_chance(&host->dice, 0.1);
        if (w->options->scenario != NULL) {
            host->power_management = w->options->scenario->no_power_management ? 0 : 1u << FENCE_BMC;
            host->fence_in_rack = false;
        }
        host->thing.dropped = !host->powered;
        g_snprintf(host->thing.id, sizeof host->thing.id, "h%u", i);
        g_snprintf(host->thing.path, sizeof host->thing.path, "host/h%u", i);
        g_snprintf(host->boot_id, sizeof host->boot_id, "h%u.b1", i);
        thing_add(w, &host->thing, THING_HOST);
        agent_init(w, &host->agent, host, NULL);
        thing_add(w, &host->agent.thing, THING_AGENT);
    }
}

static void make_vms(World *w)
{
    w->vms = g_new0(Vm, w->n_vms);
    for (unsigned i = 0; i < w->n_vms; i++) {
        Vm *vm = &w->vms[i];

        vm->dice = random_new(w->options->seed, "vm", i);
        vm->ha = i % 4 != 3; /* sim_policy_furnish() has the same */
        vm->lease = random_chance(&vm->dice, 0.5);
        if (w->options->scenario != NULL && w->options->scenario->leases != SIM_LEASES_SOME)
            vm->lease = w->options->scenario->leases == SIM_LEASES_ALL;
        vm->memory_bytes = UINT64_C(1) << (31 + random_below(&vm->dice, 3));
        vm->storage = random_below(&vm->dice, w->n_storages);
        vm->services = g_ptr_array_new();
        vm->home = &w->hosts[random_below(&vm->dice, w->n_hosts)];
        vm->lease_until_us = INT64_MAX;
        vm->thing.dropped = is_dropped(w, 'v', i);
        g_snprintf(vm->thing.id, sizeof vm->thing.id, "vm%u", i);
        g_snprintf(vm->thing.path, sizeof vm->thing.path, "vm/vm%u", i);
        thing_add(w, &vm->thing, THING_VM);
        agent_init(w, &vm->agent, NULL, vm);
        thing_add(w, &vm->agent.thing, THING_AGENT);
    }
}

static void make_services(World *w)
{
    w->services = g_new0(Service, w->n_services);
    for (unsigned i = 0; i < w->n_services; i++) {
        Service *service = &w->services[i];
        Random dice = random_new(w->options->seed, "service", i);

        service->dice = dice;
        service->vm = &w->vms[random_below(&service->dice, w->n_vms)];
        service->wanted = true;
        service->state = "stopped";
        service->intent = "none";
        service->thing.dropped = is_dropped(w, 's', i) || service->vm->thing.dropped;
        if (service->vm->services->len > 0 && random_chance(&service->dice, 0.2))
            service->needs = service->vm->services->pdata[0];
        g_snprintf(service->name, sizeof service->name, "svc%u", i);
        g_snprintf(service->thing.id, sizeof service->thing.id, "%s/svc%u", service->vm->thing.id, i);
        g_snprintf(service->thing.path, sizeof service->thing.path, "service/%s/svc%u", service->vm->thing.id, i);
        if (service->thing.dropped)
            service->wanted = false;
        else
            g_ptr_array_add(service->vm->services, service);
        thing_add(w, &service->thing, THING_SERVICE);
    }
}

static void make_rest(World *w)
{
    for (unsigned i = 0; i < w->n_storages; i++) {
        Storage *storage = &w->storages[i];

        storage->works = true;
        g_snprintf(storage->thing.id, sizeof storage->thing.id, "san%u", i);
        g_snprintf(storage->thing.path, sizeof storage->thing.path, "storage/san%u", i);
        thing_add(w, &storage->thing, THING_STORAGE);
    }
    g_strlcpy(w->site.id, "site", sizeof w->site.id);
    g_strlcpy(w->site.path, "host/sim", sizeof w->site.path);
    thing_add(w, &w->site, THING_SITE);
    for (unsigned i = 0; i < w->n_racks; i++)
        w->switches[i] = true;
    for (unsigned i = 0; i < w->n_feeds; i++)
        w->feeds[i] = true;
    for (unsigned i = 0; i < SEATS; i++) {
        w->seats[i].number = i;
        g_snprintf(w->seats[i].name, sizeof w->seats[i].name, "e%u", i);
    }
}

static void order_free(void *pointer)
{
    Order *order = pointer;

    command_free(order->command);
    g_free(order);
}

static void scenario_sizes(World *w, const SimScenario *scenario)
{
    w->n_hosts = scenario->hosts;
    w->n_vms = scenario->vms;
    w->n_services = scenario->services;
    w->n_racks = scenario->racks;
    w->n_seats = 1;
    w->quiet_us = scenario->length_us;
    w->end_us = w->quiet_us + SETTLE_US + w->options->policy->job_max_us;
    w->noise = false;
}

World *world_new(const SimOptions *options, SimReport *report)
{
    World *w = g_new0(World, 1);
    const SimProfile *profile = options->profile;

    w->options = options;
    w->report = report;
    w->dice = random_new(options->seed, "world", 0);
    w->n_hosts = sized(&w->dice, options->hosts, profile->hosts);
    w->n_vms = sized(&w->dice, options->vms, profile->vms);
    w->n_services = sized(&w->dice, options->services, profile->services);
    w->quiet_us = random_between(&w->dice, profile->length_us[0], profile->length_us[1]);
    if (options->length_us != 0)
        w->quiet_us = options->length_us;
    w->end_us = w->quiet_us + SETTLE_US + options->policy->job_max_us;
    w->n_racks = MIN(G_N_ELEMENTS(w->switches), 1 + w->n_hosts / 4 + random_below(&w->dice, 2));
    w->n_feeds = 1 + random_below(&w->dice, 2);
    w->n_storages = 1 + random_below(&w->dice, 3);
    w->n_seats = random_chance(&w->dice, 0.3) ? 2 : 1;
    if (profile->engines != 0)
        w->n_seats = profile->engines;
    w->noise = true;
    if (options->scenario != NULL)
        scenario_sizes(w, options->scenario);
    for (guint i = 0; options->drop != NULL && i < options->drop->len; i++)
        w->noise &= strcmp(options->drop->pdata[i], "noise") != 0;
    w->things = g_ptr_array_new();
    w->by_path = g_hash_table_new(g_str_hash, g_str_equal);
    w->orders = g_ptr_array_new_with_free_func(order_free);
    w->executed = g_hash_table_new(g_str_hash, g_str_equal);
    w->notices = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    w->issues = g_array_new(FALSE, FALSE, sizeof(Issue));
    w->story = options->story ? g_string_new(NULL) : NULL;
    w->broker.dice = random_new(options->seed, "broker", 0);
    make_hosts(w);
    make_vms(w);
    make_services(w);
    make_rest(w);
    faults_plan(w);
    *report = (SimReport){ .broken = INVARIANT_N, .length_us = w->end_us, .hosts = w->n_hosts, .vms = w->n_vms, .services = w->n_services,
                           .faults = w->faults->len };
    return w;
}

void world_free(World *w)
{
    agenda_done(&w->agenda);
    for (unsigned i = 0; i < SEATS; i++)
        seat_done(&w->seats[i]);
    g_queue_clear_full(&w->broker.results, (GDestroyNotify) result_free);
    for (unsigned i = 0; i < w->n_hosts; i++)
        agent_done(&w->hosts[i].agent);
    for (unsigned i = 0; i < w->n_vms; i++) {
        agent_done(&w->vms[i].agent);
        g_ptr_array_unref(w->vms[i].services);
    }
    for (guint i = 0; i < w->things->len; i++)
        fact_clear(&((Thing *) w->things->pdata[i])->told);
    g_hash_table_unref(w->by_path);
    g_hash_table_unref(w->executed);
    g_hash_table_unref(w->notices);
    g_ptr_array_unref(w->things);
    g_ptr_array_unref(w->orders);
    g_array_unref(w->issues);
    g_array_unref(w->faults);
    g_free(w->hosts);
    g_free(w->vms);
    g_free(w->services);
    if (w->story != NULL)
        w->report->story = g_string_free(w->story, FALSE);
    g_free(w);
}

/* --- playing --- */

static void begin(World *w)
{
    hub_start(w);
    for (unsigned i = 0; i < w->n_seats; i++)
        seat_start(w, &w->seats[i], true);
    for (unsigned i = 0; i < w->n_hosts; i++)
        if (!w->hosts[i].thing.dropped)
            agent_start(w, &w->hosts[i].agent);
    for (unsigned i = 0; i < w->n_vms; i++) {
        Vm *vm = &w->vms[i];

        for (unsigned k = 0; k < w->n_hosts && (vm->home->thing.dropped || host_free_bytes(w, vm->home) < vm->memory_bytes); k++)
            vm->home = &w->hosts[(vm->home - w->hosts + 1) % w->n_hosts];
        if (!vm->thing.dropped && !vm->home->thing.dropped && host_free_bytes(w, vm->home) >= vm->memory_bytes)
            vm_begin(w, vm, vm->home, true);
    }
}

static void on_quiet(World *w, void *subject, int64_t argument)
{
    (void) subject;
    (void) argument;
    world_say(w, "from here on nothing goes wrong any more");
    w->quiet = true;
    check_victims(w);
    faults_end(w);
}

static void on_restore(World *w, void *subject, int64_t argument)
{
    (void) argument;
    seat_restore(w, subject);
}

static void on_crash(World *w, void *subject, int64_t argument)
{
    (void) subject;
    (void) argument;
    if (w->quiet)
        return;
    service_fail(w, &w->services[random_below(&w->dice, w->n_services)]);
    world_later(w, random_between(&w->dice, 1, 2 * w->options->profile->crash_every_us), on_crash, NULL, 0);
}

static void on_sample(World *w, void *subject, int64_t argument)
{
    Vm *vm = &w->vms[random_below(&w->dice, w->n_vms)];

    (void) subject;
    (void) argument;
    if (w->quiet)
        return;
    if (w->broker.up && vm->n_copies > 0 && vm->copies[0].host->agent.link == LINK_UP)
        hub_publish(w, &vm->thing, &(Fact){ .kind = "vm.sample" }, strchr(vm->copies[0].host->agent.thing.path, '/') + 1, false);
    world_later(w, random_between(&w->dice, 1, 2 * w->options->profile->sample_every_us), on_sample, NULL, 0);
}

void world_play(World *w)
{
    AgendaItem item;

    begin(w);
    if (w->options->profile->crash_every_us != 0)
        world_later(w, US_PER_MINUTE, on_crash, NULL, 0);
    if (w->options->profile->sample_every_us != 0)
        world_later(w, US_PER_MINUTE, on_sample, NULL, 0);
    agenda_put(&w->agenda, (AgendaItem){ .at_us = w->quiet_us, .fn = on_quiet });
    for (unsigned i = 0; i < w->n_seats; i++)
        agenda_put(&w->agenda, (AgendaItem){ .at_us = random_between(&w->dice, US_PER_S, w->quiet_us), .fn = on_restore, .subject = &w->seats[i] });
    while (w->report->broken == INVARIANT_N && agenda_take(&w->agenda, &item)) {
        if (item.at_us > w->end_us) {
            if (item.drop != NULL)
                item.drop(item.subject);
            break;
        }
        w->now_us = item.at_us;
        item.fn(w, item.subject, item.argument);
    }
    if (w->report->broken == INVARIANT_N) {
        w->now_us = w->end_us;
        check_end(w);
    }
}
