"""python -m thyroid_keras.table: one table of one paper as a grid of runs."""

from thyroid_keras import cli
from thyroid_keras.preparation import SCALES
from thyroid_keras.recipes import LEDGER, TABLES
from thyroid_keras.spelling import suggestion
from thyroid_keras.tables import all_tables, table, write_claims

# of all tables together, and the options of each
TOGETHER = {
    "all": (all_tables, {"out", "scale", "minutes", "seed", "precision", "jobs", "ray"}),
    "claims": (write_claims, {"out", "scale", "seed"}),
}


def main(arguments=None):
    """Parses the command line and makes the table."""
    parser = cli.parser(
        "table",
        "Trains every row of a paper's table and sets ours beside the paper's: table.csv, "
        "table.md, report.html and figures. Killed or stopped at any moment, the same command "
        "goes on where it was.",
        example="cs_agnet_1\nall --minutes 90",
        more=f"Tables: {', '.join(TABLES)}; --list says what they are. `all` makes one after the "
        "other and then `claims`, the ledger of what the papers claim, which trains nothing.",
    )
    add = parser.add_argument
    add("name", metavar="NAME", nargs="?", help="of the table")
    add("--list", action="store_true", help="say which tables there are, and their rows")
    cli.add_shared(parser, "--data", "--target", "--format", "--on-bad")
    cli.add_shared(parser, "--set", "--seed", "--precision")
    add(
        "--scale",
        choices=SCALES,
        help="quick: minutes, one split; paper: the paper's settings and folds; default: quick "
        "without a GPU",
    )
    add(
        "--rows",
        nargs="+",
        metavar="ROW",
        help="only these; default: all, at the quick scale but for those that take long or need "
        "weights of ImageNet",
    )
    add(
        "--out",
        metavar="DIR",
        help="folder; default: tables/NAME-SCALE; tables that share trainings share theirs, "
        "tables/ag_sononet-SCALE and tables/fan-SCALE; of `all` and `claims` the folder of all "
        "tables, default: tables",
    )
    add(
        "--jobs",
        type=int,
        metavar="N",
        help="trainings at a time; default: 1, on a cluster per machine; of the quick scale 2 on a "
        "CPU of several cores",
    )
    add(
        "--ray",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
        help="train on a Ray cluster whose machines share this file system; `local` starts one",
    )
    add(
        "--minutes",
        type=float,
        metavar="N",
        help="end after so many minutes, with exit status 143; the same command goes on",
    )
    chosen = vars(parser.parse_args(arguments))
    name, names = chosen["name"], [*TABLES, *TOGETHER]
    if chosen.pop("list"):
        cli.run(list_tables)
    elif name is None:
        parser.error(f"which table? Choose among {', '.join(names)}")
    elif name not in names:
        among = f"choose among {', '.join(names)}.{suggestion(name, names)}"
        parser.error(f"no such table; {among} Received: name={name!r}")
    elif name in TOGETHER:
        function, takes = TOGETHER[chosen.pop("name")]
        given = {k: v for k, v in chosen.items() if v != parser.get_default(k)}
        if others := sorted(given.keys() - takes):
            flags = (f"--{'set' if o == 'settings' else o.replace('_', '-')}" for o in others)
            way = "it trains nothing" if name == "claims" else "make one table by its name"
            parser.error(f"`{name}` takes no {', '.join(flags)}; {way}")
        cli.run(function, **given)
    else:
        cli.run(table, **chosen)


def list_tables():
    """Prints the tables and their rows, and the claims that they decide."""
    for name, paper in TABLES.items():
        print(f"{name}: {paper.title}\n  {paper.paper}")
        lines = f"rows, {paper.stub}" if paper.lines == "rows" else "networks"
        print(f"  {lines}: {', '.join(row.label for row in paper.rows)}")
    print("claims: what the papers claim, judged by the tables made so far")
    for statement in LEDGER:
        print(f"  {statement.says} ({statement.table})")


if __name__ == "__main__":
    main()
