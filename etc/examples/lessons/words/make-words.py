#!/usr/bin/env python3
"""Rows 'which word means this' from WordNet 3.0 (Debian: wordnet-base), for train.jsonl, fewshot.jsonl and eval.jsonl.

usage: make-words.py WORDNET-DIRECTORY OUT-DIRECTORY

A word is taken in its most frequent sense where the sense-tagged texts have that sense three times or more (cntlist.rev);
its definition must not contain it. The three other choices are words of the same part of speech whose definitions share
no word of the synset. Training and evaluation have no word in common, choices included.
"""
import json
import os
import random
import re
import sys

KINDS = {"noun": "n", "verb": "v", "adj": "a"}


def counts(directory):
    tagged = {}
    for line in open(f"{directory}/cntlist.rev", encoding="utf-8"):
        key, sense, count = line.split()
        tagged[key.split("%")[0], {"1": "noun", "2": "verb", "3": "adj", "5": "adj"}.get(key.split("%")[1][0]), int(sense)] = int(count)
    return tagged


def entries(directory, kind, tagged):
    for line in open(f"{directory}/index.{kind}", encoding="utf-8"):
        if line.startswith(" "):
            continue
        fields = line.split()
        word, offset = fields[0], fields[-int(fields[2])]
        if not re.fullmatch(r"[a-z]{3,12}", word) or tagged.get((word, kind, 1), 0) < 3:
            continue
        with open(f"{directory}/data.{kind}", "rb") as data:
            data.seek(int(offset))
            head, gloss = data.readline().decode("utf-8").split("|", 1)
        parts = head.split()
        synonyms = {parts[4 + 2 * i].lower() for i in range(int(parts[3], 16))}
        definition = re.sub(r"^\(.*?\)\s*", "", gloss.strip()).split(";")[0].split('"')[0].strip()
        if not 15 <= len(definition) <= 90 or any(s[:4] in definition.lower() for s in synonyms):
            continue
        yield word, kind, definition, synonyms


def rows(entries, generator, name):
    for number, (word, kind, definition, synonyms) in enumerate(entries):
        others = [e for e in entries if e[1] == kind and not e[3] & synonyms and e[0] not in definition]
        choices = [word] + [e[0] for e in generator.sample(others, 3)]
        generator.shuffle(choices)
        question = f'Which word means "{definition}"?'
        yield {"id": f"{name}-{number}", "question": question, "choices": choices, "answer": choices.index(word)}


def main():
    directory, out = sys.argv[1:]
    generator = random.Random(1)
    tagged = counts(directory)
    found, seen = [], set()
    for kind in KINDS:
        for entry in entries(directory, kind, tagged):
            if not entry[3] & seen:
                seen |= entry[3]
                found.append(entry)
    generator.shuffle(found)
    print(len(found), "words", file=sys.stderr)
    train, held = found[:1010], found[1010:1410]
    files = {"fewshot": rows(train, generator, "word"), "eval": rows(held, generator, "eval-word")}
    lines = [json.dumps(row) for row in files["fewshot"]]
    os.makedirs(out, exist_ok=True)
    for name, part in {"fewshot": lines[:10], "train": lines[10:], "eval": [json.dumps(r) for r in files["eval"]]}.items():
        with open(f"{out}/{name}.jsonl", "w", encoding="utf-8") as file:
            file.write("\n".join(part) + "\n")


main()
