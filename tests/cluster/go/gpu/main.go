// A device plugin for machines without a GPU: it offers nvidia.com/gpu devices that do not exist, the way NVIDIA's plugin offers real ones.
//
// A container that is given some of them finds their ids in NVIDIA_VISIBLE_DEVICES. The kubelet forgets its plugins, and removes their sockets, each
// time it starts: so the plugin watches the kubelet's socket and registers anew whenever a new one appears.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	deviceplugin "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const (
	resource       = "nvidia.com/gpu"
	socketName     = "modelpool-gpu.sock"
	registerWithin = 10 * time.Second
)

// plugin answers the kubelet. The devices never change while it runs.
type plugin struct {
	deviceplugin.UnimplementedDevicePluginServer
	devices []*deviceplugin.Device
}

func newPlugin(node, count int) *plugin {
	devices := make([]*deviceplugin.Device, count)
	for i := range devices {
		id := fmt.Sprintf("GPU-%08x-0000-4000-8000-%012x", node, i)
		devices[i] = &deviceplugin.Device{ID: id, Health: deviceplugin.Healthy}
	}
	return &plugin{devices: devices}
}

func (p *plugin) GetDevicePluginOptions(context.Context, *deviceplugin.Empty) (*deviceplugin.DevicePluginOptions, error) {
	return &deviceplugin.DevicePluginOptions{}, nil
}

func (p *plugin) ListAndWatch(_ *deviceplugin.Empty, stream deviceplugin.DevicePlugin_ListAndWatchServer) error {
	if err := stream.Send(&deviceplugin.ListAndWatchResponse{Devices: p.devices}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func (p *plugin) Allocate(_ context.Context, request *deviceplugin.AllocateRequest) (*deviceplugin.AllocateResponse, error) {
	response := &deviceplugin.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		ids := strings.Join(container.DevicesIds, ",")
		log.Printf("allocated %s", ids)
		response.ContainerResponses = append(response.ContainerResponses, &deviceplugin.ContainerAllocateResponse{
			Envs: map[string]string{"NVIDIA_VISIBLE_DEVICES": ids},
		})
	}
	return response, nil
}

// serve listens on a fresh socket in folder; the server returned is running.
func serve(folder string, devices *plugin) (*grpc.Server, error) {
	socket := filepath.Join(folder, socketName)
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer()
	deviceplugin.RegisterDevicePluginServer(server, devices)
	go func() {
		if err := server.Serve(listener); err != nil {
			log.Printf("the plugin's server ended: %v", err)
		}
	}()
	return server, nil
}

// register tells the kubelet of folder where our socket is.
func register(ctx context.Context, folder string) error {
	ctx, cancel := context.WithTimeout(ctx, registerWithin)
	defer cancel()
	target := "unix://" + filepath.Join(folder, filepath.Base(deviceplugin.KubeletSocket))
	connection, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	request := &deviceplugin.RegisterRequest{Version: deviceplugin.Version, Endpoint: socketName, ResourceName: resource}
	_, err = deviceplugin.NewRegistrationClient(connection).Register(ctx, request, grpc.WaitForReady(true))
	return err
}

// run serves and registers once for every kubelet that appears, until ctx ends.
func run(ctx context.Context, folder string, devices *plugin) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watcher.Close()
	if err := watcher.Add(folder); err != nil {
		return err
	}
	kubelet := filepath.Join(folder, filepath.Base(deviceplugin.KubeletSocket))
	var server *grpc.Server
	attach := func() error {
		if server != nil {
			server.Stop()
		}
		var err error
		if server, err = serve(folder, devices); err != nil {
			return err
		}
		for {
			err := register(ctx, folder)
			if err == nil {
				log.Printf("registered %d × %s", len(devices.devices), resource)
				return nil
			}
			log.Printf("not registered: %v", err)
			if _, missing := os.Stat(kubelet); missing != nil || ctx.Err() != nil {
				// That kubelet is gone: the next one makes a new socket, and that is our next turn.
				return nil
			}
		}
	}
	if _, err := os.Stat(kubelet); err == nil {
		if err := attach(); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			if server != nil {
				server.Stop()
			}
			return nil
		case event := <-watcher.Events:
			if event.Name == kubelet && event.Has(fsnotify.Create) {
				log.Print("a kubelet started")
				if err := attach(); err != nil {
					return err
				}
			}
		case err := <-watcher.Errors:
			return err
		}
	}
}

func main() {
	node := flag.Int("node", 1, "number of the node: the first part of each device's id")
	count := flag.Int("count", 1, "how many GPUs to offer")
	folder := flag.String("folder", filepath.Dir(deviceplugin.KubeletSocket), "the kubelet's folder for device plugins")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, *folder, newPlugin(*node, *count)); err != nil {
		log.Fatal(err)
	}
}
