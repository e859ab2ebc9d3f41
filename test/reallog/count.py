#!/usr/bin/env python3
"""Counts a web server's access log, independently of Daybook.

usage: count.py LOG.gz OFFSET

LOG.gz is in Apache's combined format. An event is a GET with status 2xx or
304; its path is the request's target without query and fragment, its user the
pair of client address and user agent, its referrer what docs/visitors.md says,
with the lists of names as data. OFFSET is that of the site's time zone to UTC,
in minutes. Prints JSON: for each day and for the whole ("all") what Daybook
should report of it.
"""

import datetime
import gzip
import json
import pathlib
import re
import sys
import urllib.parse
from collections import defaultdict

LINE = re.compile(
    r'(?P<client>\S+) \S+ \S+ \[(?P<time>[^\]]+)\] '
    r'"(?P<method>[A-Z]+) (?P<target>\S+) HTTP/[0-9.]+" (?P<status>\d{3}) \S+ '
    r'"(?P<referrer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"')

LISTS = [pathlib.Path(__file__).parents[2] / "internal/visitor/lists" / name
         for name in ("referrers.txt", "referrers-own.txt")]

VISIT_GAP = 30 * 60  # seconds


def referrers():
    """The names of hosts, as the lists of Daybook have them; later lines count."""
    names = {}
    for path in LISTS:
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                name, hosts = line.split("\t")
                names.update(dict.fromkeys(hosts.split(), name))
    return names


NAMES = referrers()


def referrer(field):
    """The name that the host of a page is known by, or the host; of what is no address what a name can have."""
    if field == "-":
        return ""
    if not re.match("[a-z]+://", field):
        return re.split(r"[:/?#\\%=]", field)[0]
    host = re.match(r"[\w.-]*", urllib.parse.urlsplit(field).hostname or "")[0].removeprefix("www.")
    if re.fullmatch("[0-9.]*", host):
        return ""  # nothing, or the number of a machine
    parts = host.split(".")
    for i in range(len(parts)):
        if name := NAMES.get(".".join(parts[i:])):
            return name
    return host


def events(log, zone):
    with gzip.open(log, "rt", encoding="utf-8", newline="\n") as lines:
        for line in lines:
            m = LINE.match(line)
            if not m or m["method"] != "GET":
                continue
            if not (m["status"].startswith("2") or m["status"] == "304"):
                continue
            time = datetime.datetime.strptime(m["time"], "%d/%b/%Y:%H:%M:%S %z")
            yield {
                "time": time.astimezone(zone),
                "user": (m["client"], m["agent"]),
                "path": re.split("[?#]", m["target"])[0],
                "referrer": referrer(m["referrer"]),
                "event_type": "page_view",
            }


def table(found, dimension):
    count, users = defaultdict(int), defaultdict(set)
    for e in found:
        if e[dimension]:
            count[e[dimension]] += 1
            users[e[dimension]].add(e["user"])
    return {key: {"count": count[key], "users": len(users[key])} for key in count}


def visits(found):
    """The runs of events of one user on one day with no longer pause than VISIT_GAP."""
    by_user = defaultdict(list)
    for e in found:
        by_user[e["user"], e["time"].date()].append(e)
    for mine in by_user.values():
        mine.sort(key=lambda e: e["time"])
        visit = [mine[0]]
        for e in mine[1:]:
            if (e["time"] - visit[-1]["time"]).total_seconds() > VISIT_GAP:
                yield visit
                visit = []
            visit.append(e)
        yield visit


def report(found):
    hour_events, hour_users = [0] * 24, [set() for _ in range(24)]
    for e in found:
        hour_events[e["time"].hour] += 1
        hour_users[e["time"].hour].add(e["user"])
    runs = list(visits(found))
    entry, leave = defaultdict(int), defaultdict(int)
    for run in runs:
        # Of events of the same second the smaller path comes first.
        entry[min(run, key=lambda e: (e["time"], e["path"]))["path"]] += 1
        leave[max(run, key=lambda e: (e["time"], e["path"]))["path"]] += 1
    return {
        "events": len(found),
        "users": len({e["user"] for e in found}),
        "hour_events": hour_events,
        "hour_users": [len(u) for u in hour_users],
        "visits": len(runs),
        "bounces": sum(len(run) == 1 for run in runs),
        "seconds": sum((run[-1]["time"] - run[0]["time"]).total_seconds() for run in runs),
        "path": table(found, "path"),
        "referrer": table(found, "referrer"),
        "event_type": table(found, "event_type"),
        "entry_page": entry,
        "exit_page": leave,
    }


def main():
    log, offset = sys.argv[1], int(sys.argv[2])
    found = list(events(log, datetime.timezone(datetime.timedelta(minutes=offset))))
    days = defaultdict(list)
    for e in found:
        days[e["time"].date().isoformat()].append(e)
    answer = {date: report(day) for date, day in days.items()}
    answer["all"] = report(found)
    json.dump(answer, sys.stdout)


main()
