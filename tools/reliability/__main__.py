"""`python -m tools.reliability [part ...] [--option value ...]`: measure, write the figures down, print the table."""

import argparse
import shlex
import sys

from tools.reliability import bad_input, faults, figures, flake, mutants, security

PARTS = {
    "mutations": mutants.measure,
    "flake": flake.measure,
    "bad-input": bad_input.measure,
    "faults": faults.measure,
    "security": security.measure,
}


def main(arguments: list[str]) -> None:
    """Measure the parts that were asked for, all by default; the figures of the others stay as they are."""
    parser = argparse.ArgumentParser(prog="python -m tools.reliability", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn; mutants of further seeds add up")
    parser.add_argument("--mutants", type=int, default=200, help="how many mutants to try")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after which no mutant or round begins")
    parser.add_argument("--workers", type=int, default=1, help="how many mutants or rounds to try at once")
    parser.add_argument("--rounds", type=int, default=20, help="how often the tests run, for their flakiness")
    parser.add_argument("--tests", nargs="*", default=[], help="files to run then; all with numbers by default")
    parser.add_argument("--calls", type=int, default=700, help="how many calls with a wrong argument to generate")
    parser.add_argument("--kills", type=int, default=20, help="how many trainings to kill")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for part in options.parts or PARTS:
        print(part, flush=True)
        command = shlex.join(["python", "-m", "tools.reliability", part, *_given(arguments, options.parts)])
        with figures.measuring(part, command) as found:
            found.update(PARTS[part](options, figures.read().get(part, {}), lambda line: print(line, flush=True)))
    print(figures.of_all(figures.read()))


def _given(arguments: list[str], parts: list[str]) -> list[str]:
    return [argument for argument in arguments if argument not in parts]


if __name__ == "__main__":
    main(sys.argv[1:])
