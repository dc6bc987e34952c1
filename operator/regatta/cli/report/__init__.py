"""`regatta report NAME`: what became of one job, as one page that needs nothing else.

story.py        what is told: a job's size, ledger, failures and curves, whoever knows them
from_status.py  a story from the job itself, while it exists
prometheus.py   asking a Prometheus
over_time.py    what Prometheus adds to a story, or tells alone when the job is gone
made.py         who is asked, and what if one of them has no answer
charts.py       bars and curves as SVG
page.py         the story as HTML; style.py its looks
"""
