object 44cff998bc57958a2c59cea98efea03b784b4836
type commit
tag v-pgp-p256
tagger Canary Committer <canary.committer@example.invalid> 1772362800 +0100

canary text of pgp-p256
-----BEGIN PGP SIGNATURE-----

iHUEABMIAB0WIQTmbCfwt2qEPeKAFVU6bGIadb9GrAUCaaQqQAAKCRA6bGIadb9G
rH40APwPocm2KwQaG5hLdSdH+9JI1PP40uNjeuLmsBe17DW/XAD+OS8SQJTgPH1k
buz0WS7oq84uBdt2cMgdrSmi0FDAJEw=
=ks7w
-----END PGP SIGNATURE-----
