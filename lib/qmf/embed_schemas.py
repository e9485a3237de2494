"""embed_schemas.py OUT FILE...: the schema files as one C array, so that programs carry their words with them."""
import os
import sys


def main(out, files):
    with open(out, "w", encoding="utf-8") as header:
        header.write("/* Made by lib/qmf/embed_schemas.py. */\n#include <stddef.h>\n\n")
        for number, name in enumerate(files):
            data = open(name, "rb").read()
            header.write("static const char generated_schema_%d[] = {\n" % number)
            for start in range(0, len(data), 24):
                line = data[start:start + 24]
                header.write("    " + ",".join(str(byte if byte < 128 else byte - 256) for byte in line) + ",\n")
            header.write("    0 };\n")
        header.write("\nstatic const struct {\n    const char *file, *text;\n    size_t length;\n} generated_schemas[] = {\n")
        for number, name in enumerate(files):
            header.write('    { "schemas/%s", generated_schema_%d, sizeof generated_schema_%d - 1 },\n'
                         % (os.path.basename(name), number, number))
        header.write("};\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
