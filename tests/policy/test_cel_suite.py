#!/usr/bin/env python3
"""The language against the specification's own cases (tests/policy/cel), all in one run of mend policy eval --batch --typed."""
import decimal
import json
import os
import pathlib
import subprocess
import sys


def canonical(value):
    """Equal when the specification says equal: maps without order, numbers by value."""
    (kind, content), = value.items()
    if kind == "map":
        return kind, sorted(repr((canonical(key), canonical(item))) for key, item in content)
    if kind == "list":
        return kind, [canonical(item) for item in content]
    if kind == "double":
        return kind, repr(float(content))
    if kind == "duration":
        return kind, decimal.Decimal(content[:-1])
    return kind, content


def is_met(case, answer):
    if case.get("error"):
        return "error" in answer
    return "value" in answer and canonical(answer["value"]) == canonical(case["value"])


def run_file(mend, path):
    cases = [json.loads(line) for line in path.read_text().splitlines()]
    asked = "".join(json.dumps({"expr": case["expr"], "vars": case.get("vars", {})}) + "\n" for case in cases)
    done = subprocess.run([mend, "policy", "eval", "--batch", "--typed"], input=asked, capture_output=True, text=True, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(cases), f"{path.name}: {len(answers)} answers to {len(cases)} questions; {done.stderr}"
    failed = [(case, answer) for case, answer in zip(cases, answers) if not is_met(case, answer)]
    print(f"{path.stem}: {len(cases) - len(failed)} of {len(cases)}")
    for case, answer in failed:
        print(f"  {case['name']}: {case['expr']}\n    wanted {case.get('value', 'an error')}\n    got    {answer}")
    return len(cases), len(failed)


def main():
    source = pathlib.Path(os.environ.get("MEND_SOURCE_DIR", "."))
    mend = os.path.join(os.environ.get("MEND_BUILD_DIR", "build"), "bin", "mend")
    counts = [run_file(mend, path) for path in sorted((source / "tests/policy/cel").glob("*.jsonl"))]
    total, failed = sum(count for count, _ in counts), sum(count for _, count in counts)
    print(f"{total - failed} of {total}")
    assert total >= 1000, "cases are missing"
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
