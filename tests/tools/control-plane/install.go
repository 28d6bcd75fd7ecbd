package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	pollInterval = 50 * time.Millisecond
	// Some seconds on an idle machine; the rest is for one that is not.
	readyWithin = 3 * time.Minute
)

// install waits for kube-apiserver, installs the CRDs, and writes the kubeconfig last: whoever finds
// it finds everything.
func install(ctx context.Context, plane *Plane) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- installInto(ctx, plane) }()
	select {
	case err := <-failed:
		return err
	case err := <-plane.Died:
		return err
	}
}

func installInto(ctx context.Context, plane *Plane) error {
	config, err := awaitServer(ctx, plane)
	if err != nil {
		return err
	}
	if err := installCRDs(ctx, config, plane.CRDs); err != nil {
		return err
	}
	return writeKubeconfig(plane, config.CAData)
}

// awaitServer waits until kube-apiserver is ready and has made the default namespaces.
func awaitServer(ctx context.Context, plane *Plane) (*rest.Config, error) {
	config := &rest.Config{Host: plane.Server, BearerToken: Admin.Token(), QPS: -1}
	err := poll(ctx, "kube-apiserver is not ready", func(ctx context.Context) error {
		// Self-signed at its start; the file is the leaf and its authority.
		authority, err := os.ReadFile(plane.file("certs/apiserver.crt"))
		if err != nil {
			return err
		}
		config.CAData = authority
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		if err := client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error(); err != nil {
			return err
		}
		for _, name := range []string{corev1.NamespaceDefault, metav1.NamespaceSystem} {
			if _, err := client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{}); err != nil {
				return err
			}
		}
		return nil
	})
	return config, err
}

func installCRDs(ctx context.Context, config *rest.Config, path string) error {
	definitions, err := readCRDs(path)
	if err != nil {
		return err
	}
	client, err := apiextensions.NewForConfig(config)
	if err != nil {
		return err
	}
	crds := client.ApiextensionsV1().CustomResourceDefinitions()
	for _, definition := range definitions {
		if _, err := crds.Create(ctx, &definition, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("%s: %w", definition.Name, err)
		}
	}
	for _, definition := range definitions {
		err := poll(ctx, definition.Name+" is not served", func(ctx context.Context) error {
			return served(ctx, client, definition)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// served asks for the objects of every version: a CRD is Established a moment before that works.
func served(ctx context.Context, client apiextensions.Interface, definition apiextensionsv1.CustomResourceDefinition) error {
	for _, version := range definition.Spec.Versions {
		if !version.Served {
			continue
		}
		path := fmt.Sprintf("/apis/%s/%s/%s", definition.Spec.Group, version.Name, definition.Spec.Names.Plural)
		if err := client.Discovery().RESTClient().Get().AbsPath(path).Do(ctx).Error(); err != nil {
			return err
		}
	}
	return nil
}

func readCRDs(path string) ([]apiextensionsv1.CustomResourceDefinition, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("Istio's CRDs: %w; name the file with --crds", err)
	}
	var definitions []apiextensionsv1.CustomResourceDefinition
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return definitions, nil
		}
		if err != nil {
			return nil, err
		}
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(document, &definition); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if definition.Name != "" {
			definitions = append(definitions, definition)
		}
	}
}

func writeKubeconfig(plane *Plane, authority []byte) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["control-plane"] = &clientcmdapi.Cluster{Server: plane.Server, CertificateAuthorityData: authority}
	for _, user := range append(plane.Users, Admin) {
		config.AuthInfos[user.Name] = &clientcmdapi.AuthInfo{Token: user.Token()}
		config.Contexts[user.Name] = &clientcmdapi.Context{Cluster: "control-plane", AuthInfo: user.Name}
	}
	config.CurrentContext = Admin.Name
	return clientcmd.WriteToFile(*config, plane.Kubeconfig)
}

// poll tries until it works, and says at the end why it did not.
func poll(ctx context.Context, what string, try func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		last = try(ctx)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, last)
	}
	return nil
}
