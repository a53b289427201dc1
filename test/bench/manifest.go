package main

import (
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// app is what one track runs: a Deployment, a ConfigMap that it mounts, and a Service.
type app struct {
	name     string
	replicas int32
}

// objectsPerRelease and servicesPerRelease are what the budgets of calls are counted from.
const (
	objectsPerRelease  = 3
	servicesPerRelease = 1
)

// image has a digest, so that no registry is asked: this one does not exist, and what a registry takes is not ours to measure.
const image = "registry.example.eu/app:1@sha256:4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865"

// versionLabel is what the bare client tells its releases apart by.
const versionLabel = "bench/version"

func (a app) config(version string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Name: a.name},
		Data:       map[string]string{"version": version},
	}
}

func (a app) service() *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Name: a.name},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": a.name},
			Ports:    []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}
}

func (a app) deployment() *appsv1.Deployment {
	labels := map[string]string{"app": a.name}
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Name: a.name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &a.replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "app", Image: image,
					EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{
						LocalObjectReference: corev1.LocalObjectReference{Name: a.name}}}},
				}}},
			},
		},
	}
}

// files are the app as a folder of YAML in Git.
func (a app) files(folder, version string) (map[string]string, error) {
	out := map[string]string{}
	for name, obj := range map[string]any{"config.yaml": a.config(version), "deployment.yaml": a.deployment(), "service.yaml": a.service()} {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
		if err != nil {
			return nil, err
		}
		delete(content, "status") // Go's types print it empty; it is not for Git
		text, err := yaml.Marshal(content)
		if err != nil {
			return nil, err
		}
		out[folder+"/"+name] = string(text)
	}
	return out, nil
}

// versioned are the app's objects as the bare client creates them for one version: under a new name, and with a label that the
// Service can select.
func (a app) versioned(namespace string, version int) (*corev1.ConfigMap, *appsv1.Deployment) {
	v := strconv.Itoa(version)
	name := a.versionName(version)
	config, deployment := a.config(v), a.deployment()
	config.Name, config.Namespace = name, namespace
	deployment.Name, deployment.Namespace = name, namespace
	deployment.Spec.Selector.MatchLabels = map[string]string{"app": a.name, versionLabel: v}
	deployment.Spec.Template.Labels = map[string]string{"app": a.name, versionLabel: v}
	deployment.Spec.Template.Spec.Containers[0].EnvFrom[0].ConfigMapRef.Name = name
	return config, deployment
}

func (a app) versionName(version int) string { return fmt.Sprintf("%s-v%d", a.name, version) }
