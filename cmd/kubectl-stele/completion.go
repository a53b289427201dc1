package main

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stele-dev/stele/api/v1alpha1"
	"github.com/stele-dev/stele/internal/release"
)

// helper is what kubectl runs to complete "kubectl stele ...": it must be in PATH under this name.
//
//go:embed kubectl_complete-stele
var helper string

const (
	helperName = "kubectl_complete-stele"
	// completionTime is how long a shell waits for names of a cluster.
	completionTime = 3 * time.Second
)

// completer gives the words that can come next.
type completer = func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective)

// completeFrom makes a completer of a list of names, each maybe with a tab and a description. Errors complete nothing: a shell has no place for
// them.
func (s *shell) completeFrom(list func(ctx context.Context, c client.Client, args []string) ([]string, error)) completer {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		const nothing = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		c, err := s.client()
		if err != nil {
			return nil, nothing
		}
		words, err := list(ctx, c, args)
		if err != nil {
			return nil, nothing
		}
		var out []cobra.Completion
		for _, word := range words {
			name, text, _ := strings.Cut(word, "\t")
			if strings.HasPrefix(name, toComplete) && !slices.Contains(args, name) {
				out = append(out, strings.TrimSuffix(safe(name)+"\t"+cut(text, 60), "\t"))
			}
		}
		return out, nothing
	}
}

// completeArg uses one completer per argument; further arguments have nothing to complete.
func completeArg(by ...completer) completer {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= len(by) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return by[len(args)](cmd, args, toComplete)
	}
}

// completeTracks completes names of tracks of the namespace.
func (s *shell) completeTracks() completer {
	return s.completeFrom(func(ctx context.Context, c client.Client, _ []string) ([]string, error) {
		tracks, err := s.listTracks(ctx, c)
		var out []string
		for _, t := range tracks {
			out = append(out, t.Name+"\t"+t.Status.ActiveRelease)
		}
		return out, err
	})
}

// completeReleases completes names of releases of the namespace, newest first; of the track that of picks from the arguments before, if any.
// Those that keep refuses are left out; nil: all are completed.
func (s *shell) completeReleases(of func(args []string) string, keep func(*v1alpha1.ImmutableRelease) bool) completer {
	return s.completeFrom(func(ctx context.Context, c client.Client, args []string) ([]string, error) {
		track := ""
		if of != nil {
			track = of(args)
		}
		releases, err := s.listReleases(ctx, c, track)
		var out []string
		for _, r := range releases {
			if keep == nil || keep(&r) {
				out = append(out, r.Name+"\t"+string(r.Status.Phase)+" "+release.Short(r.Spec.Source.Commit))
			}
		}
		return out, err
	})
}

// completeCommits completes full ids of commits that releases of the namespace were made of, newest first.
func (s *shell) completeCommits(of func(args []string) string) completer {
	return s.completeFrom(func(ctx context.Context, c client.Client, args []string) ([]string, error) {
		track := ""
		if of != nil {
			track = of(args)
		}
		releases, err := s.listReleases(ctx, c, track)
		var out []string
		for _, r := range releases {
			out = append(out, r.Spec.Source.Commit+"\t"+r.Name+" "+string(r.Status.Phase))
		}
		return out, err
	})
}

// completeRelease completes what stands for a release: its name, or the commit that begins so.
func (s *shell) completeRelease() completer {
	releases, commits := s.completeReleases(nil, nil), s.completeCommits(nil)
	return func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if out, directive := releases(cmd, args, toComplete); len(out) > 0 {
			return out, directive
		}
		return commits(cmd, args, toComplete)
	}
}

// completeFlags completes the values of the flags of kubectl.
func (s *shell) completeFlags(root *cobra.Command) {
	fromConfig := func(names func() []string) completer {
		return func(_ *cobra.Command, _ []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var out []cobra.Completion
			for _, n := range names() {
				if strings.HasPrefix(n, toComplete) {
					out = append(out, safe(n))
				}
			}
			slices.Sort(out)
			return out, cobra.ShellCompDirectiveNoFileComp
		}
	}
	for flag, by := range map[string]completer{
		"namespace": s.completeFrom(func(ctx context.Context, c client.Client, _ []string) ([]string, error) {
			var list metav1.PartialObjectMetadataList
			list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
			err := c.List(ctx, &list)
			var out []string
			for _, n := range list.Items {
				out = append(out, n.Name)
			}
			return out, err
		}),
		"context": fromConfig(func() (out []string) {
			if config, err := s.flags.ToRawKubeConfigLoader().RawConfig(); err == nil {
				for name := range config.Contexts {
					out = append(out, name)
				}
			}
			return out
		}),
		"cluster": fromConfig(func() (out []string) {
			if config, err := s.flags.ToRawKubeConfigLoader().RawConfig(); err == nil {
				for name := range config.Clusters {
					out = append(out, name)
				}
			}
			return out
		}),
	} {
		if err := root.RegisterFlagCompletionFunc(flag, by); err != nil {
			panic(err) // cli-runtime has lost a flag
		}
	}
}

// sortReleases puts them newest first, track by track.
func sortReleases(releases []v1alpha1.ImmutableRelease) {
	slices.SortFunc(releases, func(a, b v1alpha1.ImmutableRelease) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Spec.Track, b.Spec.Track), cmp.Compare(b.Spec.Sequence, a.Spec.Sequence),
			cmp.Compare(a.Name, b.Name))
	})
}

func init() {
	commands = append(commands, func(*shell) *cobra.Command {
		shells := []string{"bash", "zsh", "fish", "powershell", "kubectl"}
		return &cobra.Command{
			Use: "completion " + strings.Join(shells, "|"), GroupID: groupOther, Short: "Write the script that completes commands and names in a shell",
			Long: "Write the script that completes commands, flags and names of tracks, releases and commits.\n\n" +
				"For its plugins, kubectl asks a program in PATH: here " + helperName + ", which 'completion kubectl' writes. The completion of kubectl\n" +
				"itself must be set up, see kubectl completion --help. The other scripts are for who types kubectl-stele.",
			Example: "  # as a plugin of kubectl\n" +
				"  kubectl stele completion kubectl > ~/.local/bin/" + helperName + " && chmod +x ~/.local/bin/" + helperName + "\n\n" +
				"  # alone, in bash\n" +
				"  source <(kubectl-stele completion bash)",
			Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs), ValidArgs: shells,
			RunE: func(cmd *cobra.Command, args []string) error {
				root, out := cmd.Root(), cmd.OutOrStdout()
				switch args[0] {
				case "bash":
					return root.GenBashCompletionV2(out, true)
				case "zsh":
					return root.GenZshCompletion(out)
				case "fish":
					return root.GenFishCompletion(out, true)
				case "powershell":
					return root.GenPowerShellCompletionWithDesc(out)
				}
				_, err := fmt.Fprint(out, helper)
				return err
			},
		}
	})
}
