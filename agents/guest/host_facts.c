#include "agents/guest/host_facts.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Value of "name: 123 kB" in /proc/meminfo's form; 0 when absent. */
static uint64_t meminfo(const char *text, const char *name)
{
    const char *at = text != NULL ? strstr(text, name) : NULL;

    return at != NULL ? g_ascii_strtoull(at + strlen(name), NULL, 10) : 0;
}

static char *slurp(const char *path)
{
    char *text;

    return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

static char *cpu_field(const char *cpuinfo, const char *name)
{
    const char *at = cpuinfo != NULL ? strstr(cpuinfo, name) : NULL;

    at = at != NULL ? strchr(at, ':') : NULL;
    return at != NULL ? g_strstrip(g_strndup(at + 1, strcspn(at + 1, "\n"))) : g_strdup("");
}

/* Cores over all sockets: distinct pairs of physical and core id; where the kernel names none, every processor is one. */
static unsigned count_cores(const char *cpuinfo, unsigned processors)
{
    g_autoptr(GHashTable) cores = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_auto(GStrv) blocks = g_strsplit(cpuinfo != NULL ? cpuinfo : "", "\n\n", -1);

    for (char **block = blocks; *block != NULL; block++) {
        g_autofree char *package = cpu_field(*block, "physical id"), *core = cpu_field(*block, "core id");

        if (*core != '\0')
            g_hash_table_add(cores, g_strconcat(package, "/", core, NULL));
    }
    return g_hash_table_size(cores) > 0 ? g_hash_table_size(cores) : processors;
}

void host_facts_read(HostFacts *facts)
{
    g_autofree char *cpuinfo = slurp("/proc/cpuinfo"), *memory = slurp("/proc/meminfo");
    struct utsname name;

    *facts = (HostFacts){.wordsize = sizeof(void *) * 8};
    facts->cpu_count = (unsigned) MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);
    facts->cpu_cores = count_cores(cpuinfo, facts->cpu_count);
    facts->cpu_model = cpu_field(cpuinfo, "model name");
    facts->cpu_flags = cpu_field(cpuinfo, "flags\t");
    facts->memory_kb = meminfo(memory, "MemTotal:");
    facts->swap_kb = meminfo(memory, "SwapTotal:");
    if (uname(&name) == 0) {
        facts->os = g_strdup_printf("%s (%s)", name.sysname, name.release);
        facts->arch = g_strdup(name.machine);
    }
}

void host_facts_done(HostFacts *facts)
{
    g_clear_pointer(&facts->os, g_free);
    g_clear_pointer(&facts->arch, g_free);
    g_clear_pointer(&facts->cpu_model, g_free);
    g_clear_pointer(&facts->cpu_flags, g_free);
}

static void count_process(int proc, const char *name, HostLoad *load)
{
    char path[32], text[512];
    const char *after;
    ssize_t n;
    int fd;

    g_snprintf(path, sizeof path, "%.16s/stat", name);
    fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    text[MAX(n, 0)] = '\0';
    after = strrchr(text, ')');
    if (after == NULL || after[1] == '\0')
        return;
    load->total++;
    switch (after[2]) {
    case 'R': load->running++; break;
    case 'S': load->sleeping++; break;
    case 'Z': load->zombie++; break;
    case 'T':
    case 't': load->stopped++; break;
    default: load->idle++; break; /* D, I: waits in the kernel */
    }
}

HostLoad host_load_read(void)
{
    g_autofree char *memory = slurp("/proc/meminfo");
    HostLoad load = {.free_memory_kb = meminfo(memory, "MemFree:"), .free_swap_kb = meminfo(memory, "SwapFree:")};
    DIR *proc = opendir("/proc");

    if (getloadavg(load.load, 3) != 3)
        memset(load.load, 0, sizeof load.load);
    if (proc == NULL)
        return load;
    for (const struct dirent *entry; (entry = readdir(proc)) != NULL;)
        if (g_ascii_isdigit(entry->d_name[0]))
            count_process(dirfd(proc), entry->d_name, &load);
    closedir(proc);
    return load;
}
