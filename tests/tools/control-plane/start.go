package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Where Services get their addresses: loopback, so that whoever listens on a Service's ClusterIP is
// what the API server dials, as in a cluster, and no kube-proxy is needed.
const serviceRange = "127.10.0.0/24"

// How long a server may take to end before it is killed.
const patience = 20 * time.Second

// Whatever tunnelguard calls; every write of Istio's kinds with its patches (level Request); of the rest of the
// writes only what was done.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: Metadata, users: ["system:serviceaccount:tunnelguard-system:tunnelguard"]}
  - {level: Request, verbs: [create, update, patch, delete, deletecollection], resources: [{group: networking.istio.io}]}
  - {level: Metadata, verbs: [create, update, patch, delete, deletecollection]}
  - {level: None}
`

// User is somebody who may sign in.
type User struct{ Name, Group string }

func parseUser(text string) User {
	name, group, _ := strings.Cut(text, ":")
	return User{name, group}
}

// Token is what the user signs in with.
func (user User) Token() string { return user.Name + "-token" }

// Admin may do everything: RBAC is not asked about its group.
var Admin = User{"admin", "system:masters"}

// Plane is a control plane that runs.
type Plane struct {
	Options
	Kubeconfig string
	Server     string
	// Died has the first server's end that nobody asked for.
	Died chan error

	children []*child
}

type child struct {
	command *exec.Cmd
	ended   chan struct{}
}

// start starts both servers, and returns before they are ready.
func start(options Options) (*Plane, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	if options.Port == 0 {
		options.Port = ports[2]
	}
	plane := &Plane{
		Options:    options,
		Kubeconfig: filepath.Join(options.Dir, "kubeconfig"),
		Server:     fmt.Sprintf("https://127.0.0.1:%d", options.Port),
		Died:       make(chan error, 2),
	}
	if err := plane.writeFiles(); err != nil {
		return nil, err
	}
	etcd := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	if err := plane.startChild("etcd", plane.etcdArguments(etcd, ports[1])...); err != nil {
		return nil, err
	}
	if err := plane.startChild("kube-apiserver", plane.apiserverArguments(etcd)...); err != nil {
		plane.Stop()
		return nil, err
	}
	return plane, nil
}

func (plane *Plane) etcdArguments(client string, peerPort int) []string {
	peer := fmt.Sprintf("http://127.0.0.1:%d", peerPort)
	return []string{
		"--data-dir=" + plane.file("etcd"),
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=default=" + peer,
		"--unsafe-no-fsync", "--log-level=warn",
	}
}

func (plane *Plane) apiserverArguments(etcd string) []string {
	return []string{
		"--etcd-servers=" + etcd,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", plane.Port), "--cert-dir=" + plane.file("certs"),
		// An endpoint of its own on loopback would be refused, and nobody needs it.
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=" + serviceRange,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + plane.file("service-accounts.key"),
		"--service-account-signing-key-file=" + plane.file("service-accounts.key"),
		"--token-auth-file=" + plane.file("tokens.csv"),
		"--authorization-mode=RBAC",
		// It refuses Pods without a ServiceAccount, which a controller makes; none runs here.
		"--disable-admission-plugins=ServiceAccount",
		"--audit-policy-file=" + plane.file("audit-policy.yaml"),
		"--audit-log-path=" + plane.file("audit.log"), "--audit-log-mode=blocking",
	}
}

// writeFiles writes what kube-apiserver reads, and kubectl. Data of an earlier run is thrown away.
func (plane *Plane) writeFiles() error {
	for _, name := range []string{"etcd", "certs", "audit.log", "bin", "kubeconfig"} {
		if err := os.RemoveAll(plane.file(name)); err != nil {
			return err
		}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	words, err := program("kubectl")
	if err != nil {
		return err
	}
	kubectl := "#!/bin/sh\nexec '" + strings.Join(words, "' '") + "' \"$@\"\n"
	if err := os.Mkdir(plane.file("bin"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(plane.file("bin/kubectl"), []byte(kubectl), 0o700); err != nil {
		return err
	}
	var tokens strings.Builder
	for _, user := range append([]User{Admin}, plane.Users...) {
		fmt.Fprintf(&tokens, "%s,%s,%s,%q\n", user.Token(), user.Name, user.Name, user.Group)
	}
	for name, text := range map[string]string{
		"audit-policy.yaml": auditPolicy,
		"audit.log":         "",
		"tokens.csv":        tokens.String(),
		"service-accounts.key": string(pem.EncodeToMemory(&pem.Block{
			Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
	} {
		if err := os.WriteFile(plane.file(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// program is how a program is run: that of KUBEBUILDER_ASSETS, else the one in this binary.
func program(name string) ([]string, error) {
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" {
		return []string{filepath.Join(assets, name)}, nil
	}
	if builtin[name] == nil {
		return nil, fmt.Errorf("this binary was built without %s: set KUBEBUILDER_ASSETS", name)
	}
	self, err := os.Executable()
	return []string{self, name}, err
}

// startChild starts a server.
func (plane *Plane) startChild(name string, arguments ...string) error {
	words, err := program(name)
	if err != nil {
		return err
	}
	log, err := os.Create(plane.file(name + ".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(words[0], append(words[1:], arguments...)...)
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = childAttributes
	if err := command.Start(); err != nil {
		return err
	}
	started := &child{command, make(chan struct{})}
	plane.children = append(plane.children, started)
	go func() {
		err := command.Wait()
		close(started.ended)
		plane.Died <- fmt.Errorf("%s ended (%v); its last words are in %s", name, err, log.Name())
	}()
	return nil
}

// Stop ends the servers in the order in which nobody misses another: kube-apiserver, then etcd.
func (plane *Plane) Stop() {
	for index := len(plane.children) - 1; index >= 0; index-- {
		child := plane.children[index]
		_ = child.command.Process.Signal(syscall.SIGTERM)
		select {
		case <-child.ended:
		case <-time.After(patience):
			_ = child.command.Process.Kill()
			<-child.ended
		}
	}
}

func (plane *Plane) file(name string) string { return filepath.Join(plane.Dir, name) }

// freePorts are free now. Another process may take one before the servers do; then they say so, and end.
func freePorts(count int) ([]int, error) {
	var ports []int
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
