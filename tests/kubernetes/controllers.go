package main

import (
	"context"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/job"
	"k8s.io/kubernetes/pkg/controller/ttlafterfinished"
)

// The three controllers of kube-controller-manager that a Job meets, started as it starts them.
func runControllers(kubeconfig string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	must(err)
	config.QPS, config.Burst = 100, 200
	client := kubernetes.NewForConfigOrDie(config)
	objects := metadata.NewForConfigOrDie(config)
	typed := informers.NewSharedInformerFactory(client, 0)
	untyped := metadatainformer.NewSharedInformerFactory(objects, 0)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))

	jobs, err := job.NewController(ctx, typed.Core().V1().Pods(), typed.Batch().V1().Jobs(), client)
	must(err)
	expiry := ttlafterfinished.New(ctx, typed.Batch().V1().Jobs(), client)
	started := make(chan struct{})
	collector, err := garbagecollector.NewGarbageCollector(ctx, client, objects, mapper,
		map[schema.GroupResource]struct{}{{Resource: "events"}: {}},
		informerfactory.NewInformerFactory(typed, untyped), started)
	must(err)
	typed.Start(ctx.Done())
	untyped.Start(ctx.Done())
	close(started)
	go jobs.Run(ctx, 2)
	go expiry.Run(ctx, 1)
	go collector.Run(ctx, 2, 5*time.Second)
	go collector.Sync(ctx, client.Discovery(), 5*time.Second)
	<-ctx.Done()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
