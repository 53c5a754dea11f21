#!/usr/bin/env python3
"""Rows 'which calculation gives the answer' from word problems of one step.

usage: make-calculation.py TRAIN.jsonl EVAL.jsonl OUT-DIRECTORY

Input rows are {"question", "answer"} of SVAMP. One is taken where exactly one operation on two of its numbers gives its
answer; the choices are the four operations on these two, the larger number first.
"""
import itertools
import json
import os
import random
import re
import sys

OPERATIONS = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b if b else None}


def row(problem, generator):
    numbers = sorted({float(n) for n in re.findall(r"\d+(?:\.\d+)?", problem["question"])}, reverse=True)
    answer = float(problem["answer"])
    found = [(a, b, op) for a, b in itertools.combinations(numbers, 2) for op, f in OPERATIONS.items() if f(a, b) == answer]
    if len(found) != 1:
        return None
    a, b, right = found[0]
    operations = list(OPERATIONS)
    generator.shuffle(operations)
    return {
        "id": problem["id"] + "-calculation",
        "question": problem["question"] + " Which calculation gives the answer?",
        "choices": [f"{a:g} {op} {b:g}" for op in operations],
        "answer": operations.index(right),
    }


def main():
    train, held, out = sys.argv[1:]
    generator = random.Random(1)
    os.makedirs(out, exist_ok=True)
    rows = lambda path: [r for r in (row(json.loads(line), generator) for line in open(path, encoding="utf-8")) if r]
    lessons = rows(train)
    for name, part in {"fewshot": lessons[:10], "train": lessons[10:], "eval": rows(held)}.items():
        with open(f"{out}/{name}.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps(r, ensure_ascii=False) + "\n" for r in part)


main()
