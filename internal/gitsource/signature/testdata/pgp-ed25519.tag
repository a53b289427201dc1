object 5a427f861742c2d4a29e8ea3cb408651d8f663b1
type commit
tag v-pgp-ed25519
tagger Canary Committer <canary.committer@example.invalid> 1772362800 +0100

canary text of pgp-ed25519
-----BEGIN PGP SIGNATURE-----

iHUEABYIAB0WIQRjVI7dWgpalcHELn8g/71pezsOpQUCaaQqQAAKCRAg/71pezsO
pf5XAPwJJ0xGAcFtBP+O6/TWOg22YU9Wl3Hdl44ml5cs2jqZ8gD/WluT34LQwX26
bOdFijF9YhttPvqzDK1AzJoHPJeEZAg=
=J8D9
-----END PGP SIGNATURE-----
