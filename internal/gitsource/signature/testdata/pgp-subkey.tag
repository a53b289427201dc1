object c054d58831288d25626c27f7ab187ad27e441ce0
type commit
tag v-pgp-subkey
tagger Canary Committer <canary.committer@example.invalid> 1772362800 +0100

canary text of pgp-subkey
-----BEGIN PGP SIGNATURE-----

iHUEABYIAB0WIQRUUeWVKmfsxagkuKFyBIGjx7LdsQUCaaQqQAAKCRByBIGjx7Ld
sVRoAP9F5RIHKWSWp4eOszWIOLnOx7k2orFSnZc/dSYpMb/T3wEA6am8bVKSP9CR
S6KW+DhbaD+a6xB0VhGstaXZ+846cAc=
=u7kx
-----END PGP SIGNATURE-----
