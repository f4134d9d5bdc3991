"""How far a translation can be trusted, without the truth: `translate --qc`.

`judge` puts it together: `variants` runs the generator again, `indicators` compares what comes out,
`inputs` judges the source and `score` sums up; `quality` is what is told and `maps` what is drawn.
"""
