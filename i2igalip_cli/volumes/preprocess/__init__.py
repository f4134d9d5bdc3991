"""What is done to raw volumes before they are cut into slices.

`reorienting` and `resampling` change the grid, `rigid` and `registration` find where one contrast
of a subject lies in another, `masks` and `bias` tell tissue from air and even out the receive
field, `strippers` has the programs that find a brain; `sitk_image` is the one door to SimpleITK and
back.
"""
