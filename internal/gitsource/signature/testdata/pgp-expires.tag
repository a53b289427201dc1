object 119f768f59f58874169329a42c3c1fb62d20940e
type commit
tag v-pgp-expires
tagger Canary Committer <canary.committer@example.invalid> 1772362800 +0100

canary text of pgp-expires
-----BEGIN PGP SIGNATURE-----

iHUEABYIAB0WIQR6s5PRrXZoRi1OZQM6wiRGcN7vtAUCaaQqQAAKCRA6wiRGcN7v
tAVOAPsHdOZswl1Q9PaiiPSBSwwD1skXiFdS4DQO9ml4w0cJCgD+KbzuP1WdZ7hl
N240whZjTDhSoFzMIca8UVHN9XS+JQg=
=CSND
-----END PGP SIGNATURE-----
