#!/usr/bin/env bash
# Runs the tunnelguard in the directory $1 as a Pod would: with nothing but that directory, read-only, as its root, as
# user 65532, without a capability. As root on Linux. What was built for another architecture is emulated by QEMU.
set -euo pipefail
image=$(realpath "$1")
work=$(mktemp -d)
guard=
trap 'if [ -n "$guard" ]; then kill -KILL "$guard" 2>/dev/null || true; fi; rm -rf "$work"' EXIT

fail() {
	echo "image: $*" >&2
	exit 1
}

emulator=
case $(od -An -tx1 -j18 -N1 "$image/tunnelguard") in
*3e) machine=x86_64 ;;
*b7) machine=aarch64 ;;
*) fail "for which machine is it?" ;;
esac
[ "$machine" = "$(uname -m)" ] || emulator=$(type -P "qemu-$machine-static") || fail "it is for $machine: to run it here, install qemu-user-static"

# Becomes tunnelguard in the image. Of the outside there is a certificate and, as in every container, /dev.
contained=(unshare --mount bash -euc '
	root=$1/root image=$2 emulator=$3
	shift 3
	mkdir -p "$root"
	mount -t tmpfs tmpfs "$root"
	cp -a "$image/." "$root"
	mkdir "$root"/{dev,tls}
	mount --rbind /dev "$root/dev"
	mount --bind "${root%/root}/tls" "$root/tls"
	mount -o remount,bind,ro "$root/tls"
	if [ -n "$emulator" ]; then cp "$emulator" "$root/emulator"; fi
	mount -o remount,ro "$root"
	cd "$root"
	exec setpriv --inh-caps=-all --no-new-privs chroot --userspec=65532:65532 --groups= "$root" ${emulator:+/emulator} /tunnelguard "$@"
' - "$work" "$image" "$emulator")

mkdir "$work/tls"
"${contained[@]}" --version
"${contained[@]}" certificate --help >"$work/help"
$emulator "$image/tunnelguard" certificate --name localhost "$work/pki" >/dev/null 2>&1
install -m 0644 "$work"/pki/* "$work/tls"

# Bad flags are status 2, and so is a cluster whose name DNS does not know.
"${contained[@]}" frobnicate 2>/dev/null && status=0 || status=$?
[ "$status" = 2 ] || fail "status $status of a command that there is not"
sed 's|SERVER|https://nowhere.invalid:6443|' >"$work/tls/config" <<-END
	{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}],
	clusters: [{name: a, cluster: {server: SERVER, certificate-authority: /tls/ca.crt}}], users: [{name: a, user: {token: t}}]}
END
"${contained[@]}" doctor --kubeconfig /tls/config 2>"$work/said" && status=0 || status=$?
[ "$status" = 2 ] && grep -q 'cannot be reached' "$work/said" || fail "status $status of doctor: $(cat "$work/said")"

# It is ready, a review is answered, and SIGTERM ends it.
"${contained[@]}" serve --offline --listen 127.0.0.1:0 --health-listen 127.0.0.1:0 --drain-seconds 0 \
	--tls-cert /tls/tls.crt --tls-key /tls/tls.key >"$work/out" 2>"$work/log" &
guard=$!
until grep -q '^probes on' "$work/out"; do
	kill -0 "$guard" 2>/dev/null || fail "it does not serve: $(cat "$work/log")"
done
port=$(sed -n 's|^tunnelguard serves https://127.0.0.1:\([0-9]*\).*|\1|p' "$work/out")
probes=$(sed -n 's|^probes on \(http://127.0.0.1:[0-9]*\)/.*|\1|p' "$work/out")
ready=$(curl -sS --max-time 60 --write-out ' %{http_code}' "$probes/readyz")
grep -q ' 200$' <<<"$ready" || fail "/readyz says $ready"
answer=$(curl -sS --max-time 60 --cacert "$work/tls/ca.crt" -H 'Content-Type: application/json' "https://localhost:$port/validate" -d '
	{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"CREATE",
	"kind":{"group":"networking.istio.io","version":"v1","kind":"ServiceEntry"},"namespace":"default","name":"squid",
	"object":{"metadata":{"name":"squid"},"spec":{"hosts":["squid.example.com"],"addresses":["192.0.2.5"],
	"ports":[{"number":3128,"name":"http","protocol":"HTTP"}],"resolution":"NONE"}}}}')
grep -q '"allowed":true' <<<"$answer" && grep -q TG001 <<<"$answer" || fail "it answers $answer"
grep -Eq '"timestamp":"20[0-9-]+T[0-9:.]+Z"' "$work/log" || fail "its log has no time in UTC: $(cat "$work/log")"
grep -E '^(Uid|CapEff|NoNewPrivs):' "/proc/$guard/status" | tr -s '\t\n' ' ' >"$work/status"
grep -q 'Uid: 65532 65532 65532 65532 .*CapEff: 0* NoNewPrivs: 1' "$work/status" || fail "it runs as $(cat "$work/status")"
kill -TERM "$guard"
wait "$guard" && status=0 || status=$?
guard=
[ "$status" = 0 ] || fail "status $status after SIGTERM: $(cat "$work/log")"
echo "image: it is ready and answers a review as user 65532, in a read-only root without anything else"
