#!/usr/bin/env python3
"""Word problems whose solutions are written out: '318 + 308 = 626 #### 626'.

usage: make-svamp.py TRAIN.jsonl EVAL.jsonl OUT-DIRECTORY

Input rows are {"question", "answer"} of SVAMP, which have an answer and no way to it. A training row is taken where exactly
one calculation of one step on two of its numbers gives the answer, or where none does and exactly one of two steps on three
of them. That it is the only one does not prove that it is the right one. Evaluation rows stay what they are.
"""
import itertools
import json
import os
import re
import sys

OPERATIONS = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b if b else None}


def steps(numbers):
    """(a, operation, b, result) of two numbers; sums and products once."""
    for a, b in itertools.permutations(numbers, 2):
        for name, operation in OPERATIONS.items():
            result = operation(a, b)
            if result is None or result < 0 or (name in "+*" and a < b):
                continue
            yield f"{a:g} {name} {b:g} = {result:g}", result, [n for n in numbers if n not in (a, b)]


def solution(problem):
    numbers = list(dict.fromkeys(float(n) for n in re.findall(r"\d+(?:\.\d+)?", problem["question"])))[:6]
    answer = float(problem["answer"])
    one = {text for text, result, _ in steps(numbers) if result == answer}
    if one:
        return one.pop() if len(one) == 1 else None
    two = {
        f"{first}, {second}"
        for first, middle, rest in steps(numbers) if middle == int(middle)
        for third in rest
        for second, result, _ in steps([middle, third]) if result == answer
    }
    return two.pop() if len(two) == 1 else None


def main():
    train, held, out = sys.argv[1:]
    problems = [json.loads(line) for line in open(train, encoding="utf-8")]
    lessons = [
        dict(problem, answer=f"{found} #### {problem['answer']}") for problem in problems if (found := solution(problem))
    ]
    print(len(lessons), "of", len(problems), file=sys.stderr)
    os.makedirs(out, exist_ok=True)
    rows = {"fewshot": lessons[:10], "train": lessons[10:], "eval": [json.loads(line) for line in open(held, encoding="utf-8")]}
    for name, part in rows.items():
        with open(f"{out}/{name}.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in part)


main()
