/* mend-ipmitool: ipmitool for fence agents that would put its password on the command line. What follows -P is passed over; the password
 * comes from IPMI_PASSWORD in the environment, a key (hexadecimal, as fence agents have it) from MEND_IPMI_KG. MEND_IPMITOOL is the real one.
 * Needs nothing but the C library: it runs once for every look at a power supply. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ipmitool reads a key of text from IPMI_KGKEY, which cannot hold a 0. False: it has one, or is no hexadecimal. */
static int put_key(const char *hex)
{
    char key[21] = { 0 };
    size_t n = strlen(hex);

    if (n % 2 != 0 || n > 40)
        return 0;
    for (size_t i = 0; i < n; i += 2) {
        char pair[3] = { hex[i], hex[i + 1], '\0' }, *end;

        key[i / 2] = (char) strtoul(pair, &end, 16);
        if (*end != '\0' || key[i / 2] == '\0')
            return 0;
    }
    return setenv("IPMI_KGKEY", key, 1) == 0;
}

int main(int argc, char **argv)
{
    const char *real = getenv("MEND_IPMITOOL"), *key = getenv("MEND_IPMI_KG");
    char **to = calloc((size_t) argc + 2, sizeof *to);
    int n = 0;

    if (to == NULL)
        return 1;
    to[n++] = (char *) (real != NULL ? real : "/usr/bin/ipmitool");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-P") == 0 && getenv("IPMI_PASSWORD") != NULL) {
            to[n++] = (char *) "-E";
            i++;
        } else {
            to[n++] = argv[i];
        }
    }
    if (key != NULL && !put_key(key)) {
        fprintf(stderr, "mend-ipmitool: a key with a zero byte, or none of hexadecimal digits, cannot be given to ipmitool unseen\n");
        return 1;
    }
    if (key != NULL) { /* options stand before the command, which begins with "chassis" */
        memmove(to + 2, to + 1, (size_t) (n - 1) * sizeof *to);
        to[1] = (char *) "-K";
    }
    unsetenv("MEND_IPMI_KG");
    execv(to[0], to);
    fprintf(stderr, "mend-ipmitool: cannot run %s: %s\n", to[0], strerror(errno));
    return 127;
}
