/* What the actions stand on: XML, processes, notes of jobs, files of evidence, errors. */
#include "agents/host/libvirt/domain_xml.h"
#include "agents/host/libvirt/evidence.h"
#include "agents/host/libvirt/job.h"
#include "agents/host/libvirt/qemu_process.h"
#include "agents/host/libvirt/virt_error.h"

#include <glib/gstdio.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define VM "aaaaaaaa-0000-4000-8000-000000000001"

static const char live[] =
    "<?xml version='1.0'?><!-- ours --><domain type='qemu' id='3' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
    "<name>web &amp; more</name><uuid> AAAAAAAA-0000-4000-8000-000000000001 </uuid><on_poweroff>destroy</on_poweroff><on_crash>preserve</on_crash>"
    "<metadata><disk><target dev='none'/></disk></metadata><devices>"
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/><source file='/a/top.qcow2' index='3'/>"
    "<backingStore type='file' index='2'><format type='qcow2'/><source file='/a/middle.qcow2'/>"
    "<backingStore type='file' index='1'><format type='raw'/><source file='/a/base'/><backingStore/></backingStore></backingStore>"
    "<mirror type='file' job='copy' ready='yes'><format type='qcow2'/><source file='/b/copy.qcow2' index='9'/></mirror><target dev='vda' bus='virtio'/></disk>"
    "<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd' name='x'><host transport='unix' socket='/s'/></source><target dev='vdb'/></disk>"
    "<disk type='block'><source dev='/dev/vg/lv'/><target dev='vdc'/></disk>"
    "<disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>"
    "<channel type='unix'><source mode='bind' path='/x'/><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>"
    "</devices></domain>";

static void test_domain_xml(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(DomainXml) xml = domain_xml_parse(live, &error);
    const DomainDisk *vda, *vdb, *vdc, *sda;

    g_assert_no_error(error);
    g_assert_cmpstr(xml->uuid, ==, VM);
    g_assert_cmpstr(xml->name, ==, "web & more");
    g_assert_cmpstr(xml->on_crash, ==, "preserve");
    g_assert_true(xml->has_agent && xml->agent_is_connected);
    g_assert_cmpuint(xml->disks->len, ==, 4);
    vda = domain_xml_disk(xml, "vda");
    g_assert_cmpstr(vda->source, ==, "/a/top.qcow2");
    g_assert_cmpstr(vda->backing, ==, "/a/middle.qcow2");
    g_assert_cmpuint(vda->depth, ==, 2);
    g_assert_cmpstr(vda->format, ==, "qcow2");
    g_assert_cmpstr(vda->cache, ==, "none");
    g_assert_true(vda->has_job && vda->job_ready);
    g_assert_cmpstr(vda->job_to, ==, "/b/copy.qcow2");
    vdb = domain_xml_disk(xml, "vdb");
    g_assert_null(vdb->source);
    g_assert_false(vdb->has_job);
    vdc = domain_xml_disk(xml, "vdc");
    g_assert_cmpstr(vdc->source, ==, "/dev/vg/lv");
    g_assert_cmpstr(vdc->device, ==, "disk");
    sda = domain_xml_disk(xml, "sda");
    g_assert_true(sda->readonly);
    g_assert_null(domain_xml_disk(xml, "none"));
}

static void test_bad_domain_xml(void)
{
    static const char *const bad[] = { "", "text", "<domain>", "<network/>", "<domain></network>", "<domain/><domain/>", "<domain a='1' a='2'><x></domain>" };
    g_autoptr(GString) deep = g_string_new("<domain>"), many = g_string_new("<domain><devices>"), huge = g_string_new("<domain><!--");

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(domain_xml_parse(bad[i], &error));
        g_assert_nonnull(error);
    }
    for (int i = 0; i < 100; i++)
        g_string_append(deep, "<a>");
    for (int i = 0; i < 300; i++)
        g_string_append(many, "<disk/>");
    g_string_append(many, "</devices></domain>");
    while (huge->len <= DOMAIN_XML_BYTES_MAX)
        g_string_append(huge, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    g_string_append(huge, "--></domain>");
    g_assert_null(domain_xml_parse(deep->str, NULL));
    g_assert_null(domain_xml_parse(many->str, NULL));
    g_assert_null(domain_xml_parse(huge->str, NULL));
}

static char *new_folder(void)
{
    char *folder = g_dir_make_tmp("mend-parts-XXXXXX", NULL);

    g_assert_nonnull(folder);
    return folder;
}

static void remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *inside = g_build_filename(path, name, NULL);

        remove_tree(inside);
    }
    g_remove(path);
}

static void add_process(const char *proc, const char *pid, const char *words, size_t length)
{
    g_autofree char *folder = g_build_filename(proc, pid, NULL), *file = g_build_filename(folder, "cmdline", NULL);

    g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
    g_assert_true(g_file_set_contents(file, words, (gssize) length, NULL));
}
#define PROCESS(proc, pid, words) add_process(proc, pid, words, sizeof words - 1)

static void test_processes(void)
{
    g_autofree char *proc = new_folder();

    PROCESS(proc, "10", "/usr/bin/virsh\0-uuid\0" VM);
    PROCESS(proc, "11", "/usr/bin/qemu-system-x86_64\0-name\0" VM "\0-uuid\0bbbbbbbb-0000-4000-8000-000000000001");
    PROCESS(proc, "12", "");
    PROCESS(proc, "self", "/usr/bin/qemu-system-x86_64\0-uuid\0" VM);
    g_assert_cmpint(qemu_process_find(proc, VM), ==, 0);
    PROCESS(proc, "13", "/usr/libexec/qemu-kvm\0-uuid\0AAAAAAAA-0000-4000-8000-000000000001\0-no-user-config");
    g_assert_cmpint(qemu_process_find(proc, VM), ==, 13);
    g_assert_cmpint(qemu_process_find("/nonexistent", VM), ==, -1);
    g_assert_false(qemu_process_kill("/proc", getpid(), VM)); /* it is another's by now */
    remove_tree(proc);
}

static void put(const char *proc, const char *pid, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(proc, pid, name, NULL);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void test_process_that_ends(void)
{
    static const char stat[] = "21 (qemu-system-x86) %c 1 21 21 0 -1 4194560 1 0 0 0 1 1 0 0 20 0 4 0 %d 0 0";
    g_autofree char *proc = new_folder(), *task = g_build_filename(proc, "21", "task", NULL);
    g_autofree char *runs = g_strdup_printf(stat, 'D', 77), *zombie = g_strdup_printf(stat, 'Z', 77), *later = g_strdup_printf(stat, 'D', 78);

    PROCESS(proc, "20", "");
    put(proc, "20", "comm", "kvm-pit/17\n"); /* the kernel's own */
    put(proc, "20", "stat", "20 (kvm-pit/17) S 2 0 0");
    PROCESS(proc, "21", "/usr/bin/qemu-system-x86_64\0-uuid\0" VM);
    put(proc, "21", "comm", "qemu-system-x86\n");
    put(proc, "21", "stat", runs);
    g_assert_cmpint(qemu_process_find(proc, VM), ==, 21);
    PROCESS(proc, "21", ""); /* killed */
    g_assert_cmpint(qemu_process_find(proc, VM), ==, 21);
    g_assert_cmpint(qemu_process_find(proc, "bbbbbbbb-0000-4000-8000-000000000001"), ==, 0);
    g_assert_cmpint(qemu_process_find(proc, VM), ==, 21); /* known still */
    put(proc, "21", "stat", later); /* the same id, and another process: anybody's */
    g_assert_cmpint(qemu_process_find(proc, VM), ==, 21);
    g_assert_cmpint(qemu_process_find(proc, "bbbbbbbb-0000-4000-8000-000000000001"), ==, 21);
    put(proc, "21", "stat", zombie);
    g_assert_cmpint(qemu_process_find(proc, VM), ==, 0);
    for (int i = 0; i < 2; i++) { /* its first thread has ended, another has not */
        g_autofree char *thread = g_strdup_printf("%s/%d", task, 21 + i);

        g_assert_cmpint(g_mkdir_with_parents(thread, 0700), ==, 0);
    }
    g_assert_cmpint(qemu_process_find(proc, VM), ==, 21);
    remove_tree(proc);
}

/* What the kernel shows of a process whose first thread is gone: no arguments, Z, and it is not gone. */
static void *outlive(void *data)
{
    sleep(60);
    return data;
}

static void be_qemu(void)
{
    pthread_t thread;

    prctl(PR_SET_NAME, "qemu-system-x86");
    pthread_create(&thread, NULL, outlive, NULL);
    pthread_exit(NULL);
}

static void test_process_without_its_first_thread(void)
{
    static const char *const words[] = { "/proc/self/exe", "qemu-system-x86_64", "-uuid", VM, NULL };
    GPid pid = 0;
    int64_t until_us = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    g_autofree char *state = NULL;

    g_assert_true(g_spawn_async(NULL, (char **) words, NULL, G_SPAWN_FILE_AND_ARGV_ZERO | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, NULL));
    while ((state == NULL || state[0] != 'Z') && g_get_monotonic_time() < until_us) {
        g_usleep(5000);
        g_free(state);
        state = qemu_process_state("/proc", pid);
    }
    g_assert_cmpstr(state, ==, "Z");
    while (qemu_process_find("/proc", VM) != pid && g_get_monotonic_time() < until_us)
        g_usleep(5000); /* another one that ends on this machine may be found before it */
    g_assert_cmpint(qemu_process_find("/proc", VM), ==, pid);
    kill(pid, SIGKILL);
    while (qemu_process_find("/proc", VM) != 0 && g_get_monotonic_time() < until_us)
        g_usleep(5000);
    g_assert_cmpint(qemu_process_find("/proc", VM), ==, 0); /* nobody has reaped it */
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
}

static void test_notes(void)
{
    g_autofree char *folder = new_folder(), *bad = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(json_t) none = job_notes(folder);

    g_assert_cmpuint(json_array_size(none), ==, 0);
    g_assert_true(job_note_write(folder, VM, "copy", json_pack("{s:s}", "disk", "vda"), &error));
    bad = g_build_filename(folder, "jobs", "x.copy.json", NULL);
    g_assert_true(g_file_set_contents(bad, "{\"vm\": 3", -1, NULL));

    g_autoptr(json_t) notes = job_notes(folder);

    g_assert_cmpuint(json_array_size(notes), ==, 1);
    g_assert_cmpstr(json_string_value(json_object_get(json_array_get(notes, 0), "disk")), ==, "vda");
    g_assert_cmpstr(json_string_value(json_object_get(json_array_get(notes, 0), "vm")), ==, VM);
    g_assert_false(g_file_test(bad, G_FILE_TEST_EXISTS));
    job_note_remove(folder, VM, "copy");

    g_autoptr(json_t) after = job_notes(folder);

    g_assert_cmpuint(json_array_size(after), ==, 0);
    remove_tree(folder);
}

static char *add_evidence(const char *folder, const char *vm, const char *kind, unsigned bytes)
{
    g_autoptr(GError) error = NULL;
    char *path = evidence_path(folder, vm, kind, &error);
    g_autofree char *part = g_strconcat(path, ".part", NULL), *text = g_strnfill(bytes, 'x'), *sha256 = NULL;
    uint64_t size = 0;

    g_assert_no_error(error);
    g_assert_true(g_file_set_contents(part, text, bytes, NULL));
    g_assert_true(evidence_keep(path, &size, &sha256, &error));
    g_assert_cmpuint(size, ==, bytes);
    g_assert_cmpuint(strlen(sha256), ==, 64);
    g_usleep(2000); /* they have an order */
    return path;
}

static bool is_there(const char *path) { return g_file_test(path, G_FILE_TEST_EXISTS); }

static void test_evidence(void)
{
    g_autofree char *folder = new_folder();
    g_autofree char *first = add_evidence(folder, "vm1", "memory.elf", 1000), *screen = add_evidence(folder, "vm1", "screen.png", 10);
    g_autofree char *second = add_evidence(folder, "vm1", "memory.elf", 1000), *other = add_evidence(folder, "vm2", "memory.elf", 1000);
    g_autofree char *half = g_strconcat(other, ".part", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_true(evidence_make_room(folder, "vm1", "memory.elf", 1000, 5000, 2, &error));
    g_assert_false(is_there(first));
    g_assert_true(is_there(second) && is_there(other) && is_there(screen));
    g_assert_true(evidence_make_room(folder, "vm3", "memory.elf", 1500, 2500, 2, &error)); /* 1500 + 1000 of vm2 */
    g_assert_false(is_there(screen) || is_there(second));
    g_assert_true(is_there(other));
    g_assert_false(evidence_make_room(folder, "vm3", "memory.elf", 2501, 2500, 2, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
    g_assert_false(evidence_make_room(folder, "vm3", "memory.elf", UINT64_C(1) << 60, UINT64_MAX, 2, &error));
    g_assert_nonnull(strstr(error->message, "bytes left"));
    g_assert_true(g_file_set_contents(half, "x", 1, NULL));
    evidence_tidy(folder);
    g_assert_false(is_there(half));
    g_assert_true(is_there(other));
    remove_tree(folder);
}

static void test_errors(void)
{
    g_autofree char *text = NULL, *nothing = NULL;
    virConnectPtr connection;

    virt_error_quiet();
    connection = virConnectOpen("test:///default");
    g_assert_null(virDomainLookupByUUIDString(connection, VM));
    g_assert_true(virt_error_is(VIR_ERR_NO_DOMAIN));
    g_assert_cmpstr(virt_error_take("cannot look", &text), ==, COMMAND_ERROR_NOT_FOUND);
    g_assert_true(g_str_has_prefix(text, "cannot look: ") && strstr(text, "vm_define") != NULL);
    g_assert_cmpstr(virt_error_take("cannot look", &nothing), ==, COMMAND_ERROR_FAILED);
    virConnectClose(connection);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "-uuid") == 0)
        be_qemu();
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/parts/domain-xml", test_domain_xml);
    g_test_add_func("/parts/bad-domain-xml", test_bad_domain_xml);
    g_test_add_func("/parts/processes", test_processes);
    g_test_add_func("/parts/process-that-ends", test_process_that_ends);
    g_test_add_func("/parts/process-without-its-first-thread", test_process_without_its_first_thread);
    g_test_add_func("/parts/notes", test_notes);
    g_test_add_func("/parts/evidence", test_evidence);
    g_test_add_func("/parts/errors", test_errors);
    return g_test_run();
}
