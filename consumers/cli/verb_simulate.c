/* mend simulate: worlds with faults against the real engine, many seeds side by side; a world that breaks a rule is shrunk, told, and can be
 * had again by the command that is printed with it. */
#include "consumers/cli/show.h"
#include "consumers/cli/verbs.h"
#include "consumers/cli/wire.h"
#include "consumers/policy/language/policy_file.h"
#include "consumers/policy/machine.h"
#include "consumers/policy/sim/scenario_file.h"
#include "consumers/policy/sim/sim.h"
#include "lib/base/clock.h"
#include "lib/base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STORY_LINES 40

typedef struct SimulateOptions {
    bool help, json, story, events, safety;
    char *policy, *seeds, *seed, *profile, *scenario, *scenarios, *record;
    GStrv drop, flaws;
    int64_t hosts, vms, services, jobs, length_us;
} SimulateOptions;

static const Setting rows[] = {
    { "seeds", SETTING_STRING, offsetof(SimulateOptions, seeds), 0, 0, "1-100", "A-B or N (which is 1-N): the worlds to play" },
    { "seed", SETTING_STRING, offsetof(SimulateOptions, seed), 0, 0, NULL, "N: one world alone" },
    { "policy", SETTING_STRING, offsetof(SimulateOptions, policy), 0, 0, NULL, "FILE with the policy; without it the default policy" },
    { "profile", SETTING_STRING, offsetof(SimulateOptions, profile), 0, 0, "default", "NAME of a kind of world: default calm network storage failover large day" },
    { "scenario", SETTING_STRING, offsetof(SimulateOptions, scenario), 0, 0, NULL,
      "NAME of a world that is written down, told as a story: switch-and-dead-host bmc-dead-with-host broker-restart engine-restart storage-blip" },
    { "scenarios", SETTING_STRING, offsetof(SimulateOptions, scenarios), 0, 0, NULL,
      "FILE of worlds, each with the end it must have (docs/simulator.md); with --seed N: the Nth alone, told as a story" },
    { "record", SETTING_STRING, offsetof(SimulateOptions, record), 0, 0, NULL, "FILE for the journal of one world (--seed, --profile day), to replay" },
    { "hosts", SETTING_INTEGER, offsetof(SimulateOptions, hosts), 0, 1000, "0", "in each world; 0: as the seed has it" },
    { "vms", SETTING_INTEGER, offsetof(SimulateOptions, vms), 0, 1000, "0", "in each world" },
    { "services", SETTING_INTEGER, offsetof(SimulateOptions, services), 0, 10000, "0", "in each world" },
    { "length", SETTING_DURATION, offsetof(SimulateOptions, length_us), 0, 30 * 24 * US_PER_HOUR, "0s", "of the time in which things go wrong" },
    { "drop", SETTING_LIST, offsetof(SimulateOptions, drop), 0, 0, NULL, "LIST what to leave out: f3 a fault, f5-9 several, h1 a host, v2 a VM, s4 a service, noise" },
    { "flaw", SETTING_LIST, offsetof(SimulateOptions, flaws), 0, 0, NULL, "NAME of something that is wrong on purpose, to see it found" },
    { "only-safety", SETTING_BOOL, offsetof(SimulateOptions, safety), 0, 0, NULL, "do not ask that incidents end and things heal" },
    { "story", SETTING_BOOL, offsetof(SimulateOptions, story), 0, 0, NULL, "with --seed: print what happened" },
    { "events", SETTING_BOOL, offsetof(SimulateOptions, events), 0, 0, NULL, "in the story: every event, too" },
    { "jobs", SETTING_INTEGER, offsetof(SimulateOptions, jobs), 0, 256, "0", "worlds played at the same time; 0: as many as there are processors" },
    { "json", SETTING_BOOL, offsetof(SimulateOptions, json), 0, 0, NULL, "print JSON" },
    { "help", SETTING_BOOL, offsetof(SimulateOptions, help), 0, 0, NULL, "print this" },
};

typedef struct Broken {
    uint64_t seed;
    Invariant invariant;
    char *what;
} Broken;

typedef struct Play {
    SimOptions options;
    uint64_t first, last;
    GMutex lock;
    uint64_t next, done;           /* under the lock, as all below */
    SimReport sum;
    uint64_t broken[INVARIANT_N];
    GArray *worlds;                /* of Broken */
    int64_t begun_us;
    bool progress;
} Play;

static void progress(const Play *p)
{
    uint64_t all = p->last - p->first + 1;
    unsigned percent = (unsigned) (p->done * 100 / all);

    if (p->progress && (p->done % 16 == 0 || p->done == all))
        fprintf(stderr, "\rworlds  [%-40.*s] %3u %%  %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT "  broken %u ", (int) (percent * 40 / 100),
                "########################################", percent, p->done, all, p->worlds->len);
}

static void add_report(Play *p, uint64_t seed, const SimReport *report)
{
    p->sum.inputs += report->inputs;
    p->sum.events += report->events;
    p->sum.commands += report->commands;
    p->sum.executed += report->executed;
    p->sum.notices += report->notices;
    p->sum.length_us += report->length_us;
    for (IncidentState s = 0; s < INCIDENT_STATE_N; s++)
        p->sum.ended[s] += report->ended[s];
    if (report->broken != INVARIANT_N) {
        const Broken broken = { seed, report->broken, g_strdup(report->what) };

        p->broken[report->broken]++;
        g_array_append_val(p->worlds, broken);
    }
    p->done++;
    progress(p);
}

static gpointer play_worlds(gpointer user)
{
    Play *p = user;

    for (;;) {
        SimOptions options = p->options;
        g_auto(SimReport) report = { 0 };

        g_mutex_lock(&p->lock);
        options.seed = p->next++;
        g_mutex_unlock(&p->lock);
        if (options.seed > p->last)
            return NULL;
        sim_run(&options, &report);
        g_mutex_lock(&p->lock);
        add_report(p, options.seed, &report);
        g_mutex_unlock(&p->lock);
    }
}

static int by_seed(const void *a, const void *b)
{
    uint64_t left = ((const Broken *) a)->seed, right = ((const Broken *) b)->seed;

    return (left > right) - (left < right);
}

static int by_kind_and_number(const void *a, const void *b)
{
    const char *left = *(char *const *) a, *right = *(char *const *) b;

    return left[0] != right[0] || left[0] == 'n' ? left[0] - right[0] : atoi(left + 1) - atoi(right + 1);
}

/* "f1" "f2" "f3" "v7" -> "f1-3,v7" */
static void put_ranges(GString *text, const GPtrArray *drop)
{
    g_autofree char **sorted = g_memdup2(drop->pdata, drop->len * sizeof(char *));

    qsort(sorted, drop->len, sizeof(char *), by_kind_and_number);
    for (guint i = 0, k; i < drop->len; i = k + 1) {
        for (k = i; k + 1 < drop->len && sorted[k + 1][0] == sorted[i][0] && atoi(sorted[k + 1] + 1) <= atoi(sorted[k] + 1) + 1;)
            k++;
        g_string_append_printf(text, "%s%s", i == 0 ? "" : ",", sorted[i]);
        if (sorted[i][0] != 'n' && atoi(sorted[k] + 1) > atoi(sorted[i] + 1))
            g_string_append_printf(text, "-%s", sorted[k] + 1);
    }
}

static char *again_command(const SimulateOptions *o, uint64_t seed, const GPtrArray *drop)
{
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "mend simulate --seed %" G_GUINT64_FORMAT " --story", seed);
    if (o->policy != NULL)
        g_string_append_printf(text, " --policy %s", o->policy);
    if (strcmp(o->profile, "default") != 0)
        g_string_append_printf(text, " --profile %s", o->profile);
    if (o->hosts != 0)
        g_string_append_printf(text, " --hosts %d", (int) o->hosts);
    if (o->vms != 0)
        g_string_append_printf(text, " --vms %d", (int) o->vms);
    if (o->services != 0)
        g_string_append_printf(text, " --services %d", (int) o->services);
    for (char **flaw = o->flaws; flaw != NULL && *flaw != NULL; flaw++)
        g_string_append_printf(text, " --flaw %s", *flaw);
    if (drop->len > 0)
        put_ranges(g_string_append(text, " --drop "), drop);
    return g_string_free(text, FALSE);
}

/* The first lines and, above all, the last ones. */
static void print_story(const char *story, size_t most)
{
    g_auto(GStrv) lines = g_strsplit(story, "\n", -1);
    size_t n = g_strv_length(lines);

    for (size_t i = 0; i < n; i++)
        if (most == 0 || i < most / 4 || i + most * 3 / 4 >= n)
            printf("%s\n", lines[i]);
        else if (i == most / 4)
            printf("      …\n");
}

static void tell_broken(const Play *p, const SimulateOptions *o, const Broken *broken)
{
    SimOptions options = p->options;
    g_auto(SimReport) report = { 0 };

    options.seed = broken->seed;
    g_autoptr(GPtrArray) drop = sim_shrink(&options, broken->invariant);
    options.drop = drop;
    options.story = true;
    sim_run(&options, &report);
    g_autofree char *command = again_command(o, broken->seed, drop);
    printf("\nseed %" G_GUINT64_FORMAT " breaks %s: %s\n%s\n", broken->seed, invariant_name(broken->invariant),
           invariant_meaning(broken->invariant), report.what == NULL ? broken->what : report.what);
    if (report.story != NULL)
        print_story(report.story, STORY_LINES);
    printf("again: %s\n", command);
}

static json_t *summary_json(const Play *p, double took_s)
{
    json_t *ended = json_object(), *invariants = json_object(), *worlds = json_array();

    for (IncidentState s = INCIDENT_NEEDS_HUMAN; s < INCIDENT_STATE_N; s++)
        json_object_set_new(ended, incident_state_name(s), json_integer((json_int_t) p->sum.ended[s]));
    for (Invariant i = 0; i < INVARIANT_N; i++)
        json_object_set_new(invariants, invariant_name(i), json_integer((json_int_t) p->broken[i]));
    for (guint i = 0; i < p->worlds->len; i++) {
        const Broken *broken = &g_array_index(p->worlds, Broken, i);

        json_array_append_new(worlds, json_pack("{s:I, s:s, s:s}", "seed", (json_int_t) broken->seed, "invariant",
                                                invariant_name(broken->invariant), "what", broken->what));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:o, s:o, s:o}", "worlds", (json_int_t) p->done, "events", (json_int_t) p->sum.events,
                     "inputs", (json_int_t) p->sum.inputs, "commands", (json_int_t) p->sum.commands, "notices", (json_int_t) p->sum.notices,
                     "virtual_s", (double) p->sum.length_us / 1e6, "took_s", took_s, "incidents", ended, "broken", invariants, "worlds_broken",
                     worlds);
}

static void print_summary(const Play *p, double took_s)
{
    printf("%" G_GUINT64_FORMAT " worlds, %.1f h of virtual time in %.1f s: %" G_GUINT64_FORMAT " events, %" G_GUINT64_FORMAT
           " inputs (%.0f/s), %" G_GUINT64_FORMAT " commands, %" G_GUINT64_FORMAT " notices\n",
           p->done, (double) p->sum.length_us / 3.6e9, took_s, p->sum.events, p->sum.inputs, (double) p->sum.inputs / MAX(took_s, 1e-9),
           p->sum.commands, p->sum.notices);
    printf("incidents:");
    for (IncidentState s = INCIDENT_NEEDS_HUMAN; s < INCIDENT_STATE_N; s++)
        printf(" %s %" G_GUINT64_FORMAT "%s", incident_state_name(s), p->sum.ended[s], s + 1 < INCIDENT_STATE_N ? "," : "\n");
    for (Invariant i = 0; i < INVARIANT_N; i++)
        printf("  %s %-13s %s\n", p->broken[i] == 0 ? "held  " : "BROKEN", invariant_name(i), invariant_meaning(i));
}

static int play_many(Play *p, const SimulateOptions *o)
{
    unsigned jobs = o->jobs != 0 ? (unsigned) o->jobs : g_get_num_processors();
    g_autofree GThread **threads = g_new0(GThread *, jobs);
    double took_s;

    p->begun_us = clock_now_us();
    p->progress = isatty(STDERR_FILENO) && !o->json;
    for (unsigned i = 0; i < jobs; i++)
        threads[i] = g_thread_new("world", play_worlds, p);
    for (unsigned i = 0; i < jobs; i++)
        g_thread_join(threads[i]);
    took_s = (double) (clock_now_us() - p->begun_us) / 1e6;
    if (p->progress)
        fprintf(stderr, "\n");
    g_array_sort(p->worlds, by_seed);
    g_autoptr(json_t) json = o->json ? summary_json(p, took_s) : NULL;
    if (o->json)
        show_json(json);
    else
        print_summary(p, took_s);
    for (guint i = 0; !o->json && i < p->worlds->len; i++)
        if (i == 0 || p->broken[g_array_index(p->worlds, Broken, i).invariant] > 0) {
            tell_broken(p, o, &g_array_index(p->worlds, Broken, i));
            p->broken[g_array_index(p->worlds, Broken, i).invariant] = 0; /* one of each kind is told */
        }
    return p->worlds->len == 0 ? EXIT_DONE : EXIT_NO;
}

static int play_one(Play *p, uint64_t seed)
{
    g_auto(SimReport) report = { 0 };

    p->options.seed = seed;
    p->options.story = true;
    sim_run(&p->options, &report);
    print_story(report.story, 0);
    printf("%u hosts, %u VMs, %u services, %u faults, %" G_GUINT64_FORMAT " events, %" G_GUINT64_FORMAT " commands: %s%s%s\n", report.hosts,
           report.vms, report.services, report.faults, report.events, report.commands,
           report.broken == INVARIANT_N ? "every invariant held" : invariant_name(report.broken), report.what == NULL ? "" : " broken: ",
           report.what == NULL ? "" : report.what);
    return report.broken == INVARIANT_N ? EXIT_DONE : EXIT_NO;
}

/* Each world of the file, and whether it ends as is written. */
static int play_file(Play *p, const SimulateOptions *o)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(ScenarioFile) file = NULL;
    unsigned wrong = 0, n;

    if (g_file_get_contents(o->scenarios, &text, NULL, &error))
        file = scenario_file_parse(text, &error);
    if (file == NULL) {
        fprintf(stderr, "mend simulate: %s: %s\n", o->scenarios, error->message);
        return EXIT_WRONG;
    }
    n = scenario_file_count(file);
    for (unsigned i = 0; i < n; i++) {
        g_auto(SimReport) report = { 0 };
        g_autofree char *why = NULL;

        if (o->seed != NULL && i + 1 != p->first)
            continue;
        p->options.scenario = scenario_file_get(file, i);
        p->options.seed = 1;
        p->options.story = o->seed != NULL;
        sim_run(&p->options, &report);
        wrong += !scenario_file_holds(file, i, &report, &why);
        if (report.story != NULL)
            print_story(report.story, 0);
        printf("%3u  %s  %s%s%s\n", i + 1, why == NULL ? "as written" : "NOT       ", p->options.scenario->name, why == NULL ? "" : ": ",
               why == NULL ? "" : why);
    }
    printf("%u of %u end as written\n", n - wrong, n);
    return wrong == 0 ? EXIT_DONE : EXIT_NO;
}

typedef struct Record {
    Recording *recording;
    GError *error;
} Record;

static void record_step(const EngineInput *input, int64_t now_us, EngineOutputs *outputs, void *user)
{
    Record *record = user;

    if (record->error == NULL)
        recording_put(record->recording, input, now_us, now_us, outputs, 0, &record->error);
}

/* One world's inputs of its first engine, and what it said, as a journal. */
static int play_recorded(Play *p, const char *path)
{
    Record record = { 0 };
    g_auto(SimReport) report = { 0 };
    g_autoptr(Engine) engine = engine_new(p->options.policy);

    record.recording = recording_new(path, engine, &record.error);
    p->options.seed = p->first;
    p->options.on_step = record_step;
    p->options.user = &record;
    if (record.error == NULL)
        sim_run(&p->options, &report);
    if (record.error == NULL)
        recording_end(record.recording, &record.error);
    recording_free(record.recording);
    if (record.error != NULL) {
        fprintf(stderr, "mend simulate: %s\n", record.error->message);
        g_error_free(record.error);
        return EXIT_WRONG;
    }
    printf("%s: %" G_GUINT64_FORMAT " inputs, %" G_GUINT64_FORMAT " commands in %.1f h of virtual time\n", path, report.inputs, report.commands,
           (double) report.length_us / 3.6e9);
    return report.broken == INVARIANT_N ? EXIT_DONE : EXIT_NO;
}

/* With the worlds' applications written down: the journal must hold all that decided. */
static Policy *policy_written(const char *path, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr(Policy) plain = path == NULL ? policy_default() : policy_load(path, error);

    if (plain == NULL || (path != NULL && !g_file_get_contents(path, &text, NULL, error)))
        return NULL;
    if (plain->applications->len > 0)
        return g_steal_pointer(&plain);
    GString *all = g_string_new(text == NULL ? "mend: 1\n" : text);
    g_string_append(all, "\napplications:\n");
    for (unsigned i = 0; i < SIM_VMS_MAX; i++) {
        if (i % SIM_VMS_PER_APPLICATION == 0)
            g_string_append_printf(all, "  - name: app%u\n    vms:\n", i / SIM_VMS_PER_APPLICATION);
        g_string_append_printf(all, "      - {name: vm%u, ha: %s}\n", i, i % 4 != 3 ? "true" : "false");
    }
    Policy *policy = policy_parse("simulated", all->str, error);
    g_string_free(all, TRUE);
    return policy;
}

static bool read_seeds(const char *text, Play *p)
{
    char *end;
    uint64_t first = g_ascii_strtoull(text, &end, 10), last = *end == '-' ? g_ascii_strtoull(end + 1, &end, 10) : first;

    p->first = strchr(text, '-') == NULL ? 1 : first;
    p->last = last;
    p->next = p->first;
    return *text != '\0' && *end == '\0' && p->last >= p->first;
}

/* "f1-3" -> "f1" "f2" "f3" */
static void put_items(GPtrArray *all, const char *part)
{
    const char *dash = strchr(part, '-');

    if (*part != '\0' && dash == NULL)
        g_ptr_array_add(all, g_strdup(part));
    for (int i = atoi(part + 1); dash != NULL && i <= atoi(dash + 1) && i < 100000; i++)
        g_ptr_array_add(all, g_strdup_printf("%c%d", *part, i));
}

static GPtrArray *split_list(GStrv list)
{
    GPtrArray *all = g_ptr_array_new_with_free_func(g_free);

    for (char **item = list; item != NULL && *item != NULL; item++) {
        g_auto(GStrv) parts = g_strsplit(*item, ",", -1);

        for (char **part = parts; *part != NULL; part++)
            put_items(all, *part);
    }
    return all;
}

static bool read_flaws(GStrv names, uint32_t *ret)
{
    for (char **name = names; name != NULL && *name != NULL; name++) {
        SimFlaw flaw = 0;

        while (flaw < SIM_FLAW_N && strcmp(sim_flaw_name(flaw), *name) != 0)
            flaw++;
        if (flaw == SIM_FLAW_N) {
            fprintf(stderr, "mend simulate: there is no flaw \"%s\"\n", *name);
            return false;
        }
        *ret |= 1u << flaw;
    }
    return true;
}

static int act(const SimulateOptions *o)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Policy) policy = o->record != NULL   ? policy_written(o->policy, &error)
                               : o->policy == NULL ? policy_default()
                                                   : policy_load(o->policy, &error);
    g_autoptr(GPtrArray) drop = split_list(o->drop);
    g_autoptr(GArray) worlds = g_array_new(FALSE, FALSE, sizeof(Broken));
    Play p = { .worlds = worlds };
    int status;

    if (policy == NULL) {
        fprintf(stderr, "%s\n", error->message);
        return EXIT_WRONG;
    }
    if (policy->applications->len == 0)
        sim_policy_furnish(policy);
    p.options = (SimOptions){ .scenario = o->scenario == NULL ? NULL : sim_scenario(o->scenario), .hosts = (unsigned) o->hosts, .vms = (unsigned) o->vms, .services = (unsigned) o->services,
                              .length_us = o->length_us, .profile = sim_profile(o->profile), .policy = policy, .drop = drop,
                              .only_safety = o->safety, .story_events = o->events };
    if (o->scenario != NULL && p.options.scenario == NULL) {
        fprintf(stderr, "mend simulate: there is no such scenario: see --help\n");
        return EXIT_WRONG;
    }
    if (p.options.profile == NULL || !read_seeds(o->seed == NULL ? o->seeds : o->seed, &p) || !read_flaws(o->flaws, &p.options.flaws)) {
        fprintf(stderr, "mend simulate: %s\n", p.options.profile == NULL ? "there is no such profile: see --help" : "--seeds is A-B or N");
        return EXIT_WRONG;
    }
    g_mutex_init(&p.lock);
    if (o->seed != NULL)
        p.first = p.next = p.last;
    if (o->scenarios != NULL)
        status = play_file(&p, o);
    else if (o->record != NULL)
        status = play_recorded(&p, o->record);
    else if (o->scenario != NULL || (o->seed != NULL && o->story))
        status = play_one(&p, p.first);
    else
        status = play_many(&p, o);
    g_mutex_clear(&p.lock);
    for (guint i = 0; i < worlds->len; i++)
        g_free(g_array_index(worlds, Broken, i).what);
    return status;
}

int verb_simulate(char **argv)
{
    SimulateOptions options = { 0 };
    g_auto(GStrv) rest = NULL;
    ExitStatus status;

    if (verb_begin("simulate [--seeds A-B] [--policy FILE] [--profile NAME] [--seed N [--story] [--drop LIST]]", rows, G_N_ELEMENTS(rows), &options,
                   &options.help, argv, &rest, &status))
        status = (ExitStatus) act(&options);
    settings_done(rows, G_N_ELEMENTS(rows), &options);
    return status;
}
