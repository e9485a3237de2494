#!/usr/bin/env python3
"""Expressions, patterns, variables and lines that are meant to crash mend policy eval or to keep it busy: each is answered, with a value or a
plain error, each in bounded time, all by one process."""
import json
import os
import subprocess
import sys
import time

SECONDS_EACH = 20  # none takes 1 s alone on a machine; others may run beside it, and the sanitizers cost their share
NUMBERS = {"list": [{"int": str(i)} for i in range(1000)]}


def nested(before, core, after, times):
    return before * times + core + after * times


def questions():
    """name, expression, variables, what the answer holds (a value, a part of the error's text, or None: either)"""
    many = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"
    share = ".map(a, [a, a])"
    deeper = ".map(a, " + nested("[", "a", "]", 100) + ")"
    long_text = "a" * 200000
    for name, text in {"parentheses": nested("(", "1", ")", 10000), "lists": nested("[", "", "]", 10000), "maps": nested("{1:", "1", "}", 5000),
                       "not": "!" * 100000 + "true", "minus": "-" * 100000 + "1", "calls": nested("size(", "'a'", ")", 5000),
                       "conditions": "true ? 1 : " * 10000 + "2", "sums": "1+" * 10000 + "1", "fields": "{}" + ".b" * 10000}.items():
        yield name, text, {}, "nested deeper"
    yield "unclosed", "(" * 10000, {}, "nested deeper"
    yield "and", "true && " * 10000 + "true", {}, {"bool": True}
    yield "or", "false || " * 20000 + "true", {}, {"bool": True}
    yield "literal", "size('" + "a" * 1000000 + "')", {}, {"int": "1000000"}
    yield "variable", "size(x)", {"x": {"string": "a" * 5000000}}, {"int": "5000000"}
    yield "nested macros", nested(many + ".map(a, ", "1", ")", 9), {}, "an expression may"
    yield "nested all", nested("x.all(a, ", "a >= 0", ")", 5), {"x": NUMBERS}, "longer than an expression may"
    yield "doubled text", "['aaaaaaaaaaaaaaaa']" + ".map(a, a + a)" * 60, {}, "more memory"
    yield "doubled list", "[[1, 2]]" + ".map(a, a + a)" * 60, {}, "more memory"
    yield "shared parts", "[[1]]" + share * 60, {}, "too large to be written"
    yield "shared ==", "[1].map(x, [x, x])" + share * 40 + ".all(q, q == q)", {}, "longer than an expression may"
    yield "shared in", "[[1]" + share * 40 + "].all(q, q in [q])", {}, "longer than an expression may"
    yield "deep value", "[1]" + deeper * 90, {}, "nested too deep"
    yield "deep map", "[1]" + deeper.replace("[", "{1: ").replace("]", "}") * 90, {}, "nested too deep"
    yield "deep ==", f"[1]{deeper * 2} == [1]{deeper * 2}", {}, {"bool": True}
    yield "long texts in", "x.all(a, a in y)", {"x": {"list": [{"string": long_text + "b"}] * 20}, "y": {"list": [{"string": long_text + "c"}] * 20}}, {"bool": False}
    yield "many keys", "size(x)", {"x": {"map": [[{"int": str(i)}, {"null": None}] for i in range(100000)]}}, {"int": "100000"}
    yield "pattern per item", "x.exists(p, 'b'.matches(p))", {"x": {"list": [{"string": "\\pL" * 1300 + str(i)} for i in range(300)]}}, "longer than an expression may"
    yield "repeated nothing", "'a'.matches('" + nested("(", "a{0}", "){1000}", 9) + "')", {}, "more than 1000"
    yield "repeated stars", "x.matches('(a*)*(a|aa)+$')", {"x": {"string": "a" * 100000 + "b"}}, {"bool": False}
    yield "long program", "x.matches('(.{0,1000}){9}b')", {"x": {"string": "a"}}, "more than 1000"
    yield "deep groups", "'a'.matches('" + nested("(", "a", ")", 1000) + "')", {}, "nested deeper"
    yield "surrogate", "'\\ud800'", {}, "U+D800 is no character"
    yield "least int", "-9223372036854775808 / -1", {}, "overflows"
    yield "zero byte", "'a\\u0000b'.size()", {}, {"int": "3"}
    yield "deep variable", "x", {"x": json.loads(nested('{"list": [', "", "]}", 300))}, "nested deeper"
    yield "large double", "x", {"x": {"double": 100000000000000000000}}, {"double": 1e20}
    yield "no variables", "1", None, {"int": "1"}


LINES = [b'{"expr": "\xff"}', b'{"expr": "1", "vars": {"\xc3": {"int": "1"}}}', b'{"expr": "\\ud800"}', b'{"expr": "x", "vars": {"x": {"string": "\\udfff"}}}',
         b'{"expr": "1"}\0', b'{"expr": "1\\u0000"}', b"nope", b"", b"[]", b"1", b"[" * 100000, b'{"expr": ' * 5000, b'{"expr": "1", "expr": "2"}',
         b'{"expr": "x", "vars": {"x": {"int": "9223372036854775808"}}}', b'{"expr": "x", "vars": {"x": {"double": 1e999}}}',
         b'{"expr": "x", "vars": {"x": {"bytes": "A"}}}', b'{"expr": "x", "vars": {"x": {"map": [[{"list": []}, {"int": "1"}]]}}}']


class Batch:
    def __init__(self):
        mend = os.path.join(os.environ.get("MEND_BUILD_DIR", "build"), "bin", "mend")
        self.process = subprocess.Popen([mend, "policy", "eval", "--batch", "--typed"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, name, line):
        begin = time.monotonic()
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        took = time.monotonic() - begin
        assert answer, f"{name}: mend ended with {self.process.wait()}"
        assert took < SECONDS_EACH, f"{name}: {took:.1f} s"
        return json.loads(answer)

    def end(self):
        self.process.stdin.close()
        return self.process.wait()


def is_met(answer, wanted):
    if wanted is None:
        return len(answer) == 1
    if isinstance(wanted, str):
        return wanted in answer.get("error", "")
    return answer.get("value") == wanted


def main():
    batch = Batch()
    asked = 0
    for name, text, variables, wanted in questions():
        answer = batch.ask(name, json.dumps({"expr": text, "vars": variables}).encode())
        assert is_met(answer, wanted), f"{name}: {str(answer)[:300]}, but {wanted} is wanted"
        asked += 1
    for line in LINES:
        assert "error" in batch.ask(line[:40], line), line[:80]
        asked += 1
    assert batch.ask("the last", b'{"expr": "6 * 7"}') == {"value": {"int": "42"}}
    assert batch.end() == 0
    print(f"{asked} answered")
    return 0


if __name__ == "__main__":
    sys.exit(main())
