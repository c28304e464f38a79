#!/usr/bin/env python3
"""Writes unicode_table.cc: case mappings and classes of code points as this Python knows them."""
import sys
import unicodedata

LAST = 0x110000


def mapping_runs(f):
    """Runs of single-character mappings: (first, last, stride, delta)."""
    pairs = [(c, ord(f(chr(c))) - c) for c in range(LAST) if len(f(chr(c))) == 1 and f(chr(c)) != chr(c)]
    runs, i = [], 0
    while i < len(pairs):
        first, delta = pairs[i]
        stride = 1
        if i + 1 < len(pairs) and pairs[i + 1][1] == delta and pairs[i + 1][0] - first <= 2:
            stride = pairs[i + 1][0] - first
        j = i
        while j + 1 < len(pairs) and pairs[j + 1] == (pairs[j][0] + stride, delta):
            j += 1
        runs.append((first, pairs[j][0], stride, delta))
        i = j + 1
    return runs


def specials(f, base=None):
    """Characters that map to several, or (with base) other than base maps them."""
    out = []
    for c in range(LAST):
        t = f(chr(c))
        if (len(t) > 1) if base is None else (t != base(chr(c))):
            out.append((c, [ord(x) for x in t] + [0] * (3 - len(t))))
    return out


def class_runs(member):
    runs, first = [], None
    for c in range(LAST + 1):
        inside = c < LAST and member(chr(c))
        if inside and first is None:
            first = c
        if not inside and first is not None:
            runs.append((first, c - 1))
            first = None
    return runs


def table(kind, name, rows):
    line, lines = '   ', []
    for row in rows:
        cell = ' ' + row + ','
        if len(line) + len(cell) > 118:
            lines.append(line)
            line = '   '
        line += cell
    lines.append(line)
    return 'constexpr %s %s[] = {\n%s\n};\n' % (kind, name, '\n'.join(lines))


run = lambda r: '{0x%X, 0x%X, %d, %d}' % r
special = lambda r: '{0x%X, {%s}}' % (r[0], ', '.join('0x%X' % x for x in r[1]))
span = lambda r: '{0x%X, 0x%X}' % r
lower, upper, title = str.lower, str.upper, str.title
cased = lambda c: (c + 'a').title().endswith('a')
out = ['// Written by make_unicode_table.py (Unicode %s); do not edit.\n' % unicodedata.unidata_version,
       '#include "models/chat/unicode_table_data.h"\n\nnamespace braid {\nnamespace {\n\n']
for kind, name, rows in [('CaseRun', 'kLowerRuns', map(run, mapping_runs(lower))),
                         ('CaseSpecial', 'kLowerSpecials', map(special, specials(lower))),
                         ('CaseRun', 'kUpperRuns', map(run, mapping_runs(upper))),
                         ('CaseSpecial', 'kUpperSpecials', map(special, specials(upper))),
                         ('CaseSpecial', 'kTitleSpecials', map(special, specials(title, upper))),
                         ('CodeSpan', 'kCased', map(span, class_runs(cased))),
                         ('CodeSpan', 'kUnprintable', map(span, class_runs(lambda c: not c.isprintable())))]:
    out.append(table(kind, name, rows) + '\n')
out.append('}  // namespace\n\nconst UnicodeTable kUnicodeTable = {\n    kLowerRuns, kLowerSpecials, kUpperRuns, '
           'kUpperSpecials, kTitleSpecials, kCased, kUnprintable};\n\n}  // namespace braid\n')
sys.stdout.write(''.join(out))
