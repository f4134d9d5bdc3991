"""Pages for people: one HTML file that opens without a network, from tables, figures and volumes.

`page` says what a page is made of, `render` writes it as HTML, `plots` and `panels` draw, `viewer`
embeds volumes for NiiVue. None of them knows what an evaluation, a translation or a training is.
"""
