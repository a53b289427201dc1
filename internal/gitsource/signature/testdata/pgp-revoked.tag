object 7963b2180be5ce5ee05393cc86716c392e02ea01
type commit
tag v-pgp-revoked
tagger Canary Committer <canary.committer@example.invalid> 1772362800 +0100

canary text of pgp-revoked
-----BEGIN PGP SIGNATURE-----

iHUEABYIAB0WIQS8HkmudTAycG9g790dj4LAOZ0zXQUCaaQqQAAKCRAdj4LAOZ0z
XbquAP40AYqy1sickIqNIeq2gV+iR9/hBYRxPWRoyb8stOmivgD+LELYUjn1zujN
G4JdKmh+BPatpRL9X4wDlY671AL6NAI=
=2rwg
-----END PGP SIGNATURE-----
