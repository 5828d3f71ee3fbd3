"""Side-by-side measurements of speed and quality: `python -m benchmarks`, or `make bench`.

From below: `jobs` (what is trained, the same for all), the contenders (`ours` and its rivals, one file each),
`processes` (every contender in a process of its own, asked in turn), `measurements` (what is asked), `targets` (what
is wanted), `report` (table and figure).
"""
