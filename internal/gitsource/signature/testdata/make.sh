#!/usr/bin/env bash
# Makes the fixtures anew: commits and tags by git, signed by gpg and ssh-keygen, and the public keys, as these programs write them.
# Needs git >= 2.34, GnuPG 2.2 and OpenSSH 8.2. The tests need none of them: run this by hand, and review what changes.
# Made last with git 2.39.5, GnuPG 2.2.40 and OpenSSH 9.2p1.
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD
tmp=$(mktemp -d)
trap 'gpgconf --homedir "$tmp/gpg" --kill all; rm -rf "$tmp"' EXIT
export GNUPGHOME=$tmp/gpg HOME=$tmp GIT_CONFIG_NOSYSTEM=1
mkdir -m 700 "$GNUPGHOME"
rm -f ./*.fingerprint ./*.asc ./*.sshpub ./*.commit ./*.tag

# Names and comments are canaries: none of them may come out of the package.
export GIT_AUTHOR_NAME='Canary Author' GIT_AUTHOR_EMAIL=canary.author@example.invalid
export GIT_COMMITTER_NAME='Canary Committer' GIT_COMMITTER_EMAIL=canary.committer@example.invalid
export GIT_AUTHOR_DATE='2026-03-01T12:00:00+0100' GIT_COMMITTER_DATE='2026-03-01T12:00:00+0100'
signed=20260301T120000

# gpg at a time, then sign with a key made for signing: gpg cannot be told the time through git.
at() { gpg --batch --quiet --pinentry-mode loopback --passphrase '' --faked-system-time "$@"; }
cat > "$tmp/sign" <<END
#!/bin/sh
exec gpg --batch --pinentry-mode loopback --passphrase '' --faked-system-time \${STELE_TIME:-$signed}! "\$@"
END
chmod +x "$tmp/sign"

repo=$tmp/repo
git init -q -b main "$repo"
cd "$repo"
git config gpg.program "$tmp/sign"
echo one > file
git add file
tree=$(git write-tree)
export GIT_TRACE=0

# object NAME KEY: a commit and a tag of it.
object() {
  local name=$1 key=$2 id
  git config user.signingkey "$key"
  id=$(git commit-tree -S "$tree" -m "canary message of $name")
  git cat-file commit "$id" > "$here/$name.commit"
  git tag -f -s -m "canary text of $name" "v-$name" "$id" > "$tmp/out"
  git cat-file tag "v-$name" > "$here/$name.tag"
}
key() { # key NAME ALGORITHM USAGE EXPIRES
  at 20260101T000000! --quick-gen-key "Canary $1 <canary.$1@example.invalid>" "$2" "$3" "$4"
  gpg --list-keys --with-colons "canary.$1@example.invalid" | awk -F: '/^fpr/ {print $10; exit}'
}
export_key() { gpg --armor --export "$1" > "$here/$2.asc"; }

ed=$(key ed ed25519 sign never);                 object pgp-ed25519 "$ed"; export_key "$ed" pgp-ed25519
rsa=$(key rsa rsa3072 sign never);               object pgp-rsa "$rsa";    export_key "$rsa" pgp-rsa
p256=$(key p256 nistp256 sign never);            object pgp-p256 "$p256";  export_key "$p256" pgp-p256

# A subkey signs. Later it is revoked.
sub=$(key sub ed25519 cert never)
at 20260101T000000! --quick-add-key "$sub" ed25519 sign never
object pgp-subkey "$sub"
export_key "$sub" pgp-subkey
printf 'key 1\nrevkey\ny\n1\n\ny\nsave\n' | gpg --batch --quiet --no-tty --command-fd 0 --pinentry-mode loopback --passphrase '' \
  --faked-system-time 20260401T000000! --edit-key "$sub"
export_key "$sub" pgp-subkey-revoked

# A key that expires in June, and the same one prolonged in May, of which only the newest statement about itself is exported.
old=$(key old ed25519 sign 2026-06-01)
object pgp-expires "$old"
export_key "$old" pgp-expires
at 20260501T000000! --quick-set-expire "$old" 2y
gpg --armor --export-options export-minimal --export "$old" > "$here/pgp-prolonged.asc"

# A key that is revoked.
gone=$(key gone ed25519 sign never)
object pgp-revoked "$gone"
export_key "$gone" pgp-before-revocation
sed 's/^:-----/-----/' "$GNUPGHOME/openpgp-revocs.d/$gone.rev" | gpg --batch --quiet --import
export_key "$gone" pgp-revoked

# What is too weak.
git config gpg.program "$tmp/weak"
printf '#!/bin/sh\nexec "%s/sign" --digest-algo SHA1 "$@"\n' "$tmp" > "$tmp/weak"
chmod +x "$tmp/weak"
object pgp-sha1 "$rsa"
git config gpg.program "$tmp/sign"

# A merge of a signed tag, with an encoding: the header holds the tag with its signature, and one of its own.
git config user.signingkey "$ed"
git config i18n.commitEncoding ISO-8859-1
git update-ref refs/heads/main "$(git commit-tree -S "$tree" -m base)"
git checkout -q -b side
git commit -q -S --allow-empty -m side
git tag -s -m 'canary side' side-tag
git checkout -q main
git commit -q -S --allow-empty -m main
git merge -q -S --no-ff -m merge side-tag
git cat-file commit HEAD > "$here/pgp-merge.commit"
git config --unset i18n.commitEncoding

# SSH.
git config gpg.format ssh
for type in ed25519 rsa ecdsa; do
  ssh-keygen -q -t $type -N '' -C "canary.ssh.$type@example.invalid" -f "$tmp/$type"
  cp "$tmp/$type.pub" "$here/ssh-$type.sshpub"
  object "ssh-$type" "$tmp/$type.pub"
done
# Signed for another purpose: a file, by the same key.
printf 'tree %s\nauthor A <a@example.invalid> 1772362800 +0100\ncommitter A <a@example.invalid> 1772362800 +0100\n\nfile\n' "$tree" > "$tmp/payload"
ssh-keygen -q -Y sign -n file -f "$tmp/ed25519" "$tmp/payload"
{ sed '/^$/,$d' "$tmp/payload"; sed '1s/^/gpgsig /; 2,$s/^/ /' "$tmp/payload.sig"; sed -n '/^$/,$p' "$tmp/payload"; } > "$here/ssh-namespace.commit"
cd "$here"
# What people compare.
echo "$ed" > pgp-ed25519.fingerprint
echo "$sub" > pgp-subkey.fingerprint
ssh-keygen -l -f ssh-ed25519.sshpub | awk '{print $2}' > ssh-ed25519.fingerprint
ls -l
