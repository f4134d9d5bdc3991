"""Many volumes: found, shared among processes, resumed, isolated from one another, and in a table.

`places`, `inputs`, `bids` and `items` say what becomes what, `settings` and `shards` how and by
whom. `claims`, `processes`, `rows` and `ledger` hold who does it and what is done. `run` begins;
`supervisor` looks after `worker`, a process of its own, in which `pipeline`, `work`, `reading` and
`products` do it. `table` sums up.
"""
