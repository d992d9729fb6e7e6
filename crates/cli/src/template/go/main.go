// What do Go's templates make of skopeo's values? Prints a line of JSON for each template of output.txt or config.txt: what the tests
// of our templates expect.
//
//	go run main.go output > output.jsonl; go run main.go config > config.jsonl
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"text/tabwriter"
	"text/template"
	"time"
)

type Digest string

func (d Digest) String() string    { return string(d) }
func (d Digest) Algorithm() string { return string(d)[:strings.Index(string(d), ":")] }
func (d Digest) Encoded() string   { return string(d)[strings.Index(string(d), ":")+1:] }
func (d Digest) Hex() string       { return d.Encoded() }

// As github.com/opencontainers/image-spec/specs-go/v1 has it.
type Platform struct {
	Architecture string   `json:"architecture"`
	OS           string   `json:"os"`
	OSVersion    string   `json:"os.version,omitempty"`
	OSFeatures   []string `json:"os.features,omitempty"`
	Variant      string   `json:"variant,omitempty"`
}
type ImageConfig struct {
	User         string              `json:"User,omitempty"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
	Env          []string            `json:"Env,omitempty"`
	Entrypoint   []string            `json:"Entrypoint,omitempty"`
	Cmd          []string            `json:"Cmd,omitempty"`
	Volumes      map[string]struct{} `json:"Volumes,omitempty"`
	WorkingDir   string              `json:"WorkingDir,omitempty"`
	Labels       map[string]string   `json:"Labels,omitempty"`
	StopSignal   string              `json:"StopSignal,omitempty"`
	ArgsEscaped  bool                `json:"ArgsEscaped,omitempty"`
}
type RootFS struct {
	Type    string   `json:"type"`
	DiffIDs []Digest `json:"diff_ids"`
}
type History struct {
	Created    *time.Time `json:"created,omitempty"`
	CreatedBy  string     `json:"created_by,omitempty"`
	Author     string     `json:"author,omitempty"`
	Comment    string     `json:"comment,omitempty"`
	EmptyLayer bool       `json:"empty_layer,omitempty"`
}
type Image struct {
	Created *time.Time `json:"created,omitempty"`
	Author  string     `json:"author,omitempty"`
	Platform
	Config  ImageConfig `json:"config,omitempty"`
	RootFS  RootFS      `json:"rootfs"`
	History []History   `json:"history,omitempty"`
}

// As skopeo has it.
type Layer struct {
	MIMEType    string
	Digest      Digest
	Size        int64
	Annotations map[string]string
}
type Output struct {
	Name          string `json:",omitempty"`
	Tag           string `json:",omitempty"`
	Digest        Digest
	RepoTags      []string
	Created       *time.Time
	DockerVersion string
	Labels        map[string]string
	Architecture  string
	Os            string
	Layers        []string
	LayersData    []Layer
	Env           []string
}

var funcs = template.FuncMap{
	"join": strings.Join,
	"json": func(v any) string {
		buf := new(bytes.Buffer)
		enc := json.NewEncoder(buf)
		enc.SetEscapeHTML(false)
		enc.Encode(v)
		return strings.TrimSpace(buf.String())
	},
	"lower": strings.ToLower,
	"pad": func(s string, p, q int) string {
		if s == "" {
			return s
		}
		return strings.Repeat(" ", p) + s + strings.Repeat(" ", q)
	},
	"split": strings.Split,
	"title": strings.Title,
	"truncate": func(s string, n int) string {
		if len(s) < n {
			return s
		}
		return s[:n]
	},
	"upper": strings.ToUpper,
}
var tableReplacer = strings.NewReplacer("table ", "", `\t`, "\t", `\n`, "\n", " ", "\t")
var escapedReplacer = strings.NewReplacer(`\t`, "\t", `\n`, "\n")
var rangeRegex = regexp.MustCompile(`(?s){{\s*range\s*\.\s*}}.*{{\s*end\s*-?\s*}}`)
var isJSON = regexp.MustCompile(`^(\s*json\s*|\s*{{\s*json\s*\.?\s*}}\s*)$`)

func norm(f string) string {
	if strings.HasPrefix(f, "table ") {
		f = tableReplacer.Replace(f)
	} else {
		f = escapedReplacer.Replace(f)
	}
	if !strings.HasSuffix(f, "\n") {
		f += "\n"
	}
	return f
}
func enforce(f string) string {
	if !rangeRegex.MatchString(f) {
		return "{{range .}}" + f + "{{end -}}"
	}
	return f
}
func run(text string, data any) (string, error) {
	if isJSON.MatchString(text) {
		out, err := json.MarshalIndent(data, "", "    ")
		return string(out) + "\n", err
	}
	var out bytes.Buffer
	var w io.Writer = &out
	plain, table := strings.CutPrefix(text, "table ")
	n := ""
	var tw *tabwriter.Writer
	if table {
		n = "{{range .}}" + norm(text) + "{{end -}}"
		text = "{{range .}}" + plain + "{{end -}}"
		tw = tabwriter.NewWriter(&out, 12, 2, 2, ' ', tabwriter.StripEscape)
		w = tw
	} else {
		n = enforce(norm(text))
		text = enforce(text)
	}
	t, err := template.New("skopeo inspect").Funcs(funcs).Parse(n)
	if err != nil {
		t, err = template.New("skopeo inspect").Funcs(funcs).Parse(text)
		if err != nil {
			return "", err
		}
	}
	err = t.Execute(w, []any{data})
	if tw != nil {
		tw.Flush()
	}
	return out.String(), err
}

func main() {
	created, _ := time.Parse(time.RFC3339Nano, "2026-11-23T07:52:32.3+10:00")
	d := Digest("sha256:" + strings.Repeat("ab", 32))
	e := Digest("sha256:" + strings.Repeat("cd", 32))
	out := Output{Name: "registry.example/team/app", Digest: d, RepoTags: []string{"1", "latest"}, Created: &created,
		Labels: map[string]string{"b": "2", "a": "1", "html": "<a>&\u2028é"}, Architecture: "amd64", Os: "linux",
		Layers:     []string{d.String(), e.String()},
		LayersData: []Layer{{"application/vnd.oci.image.layer.v1.tar+gzip", d, 123, nil}, {"application/vnd.oci.image.layer.v1.tar", e, 4, map[string]string{"k": "v"}}}}
	var cfg Image
	raw, _ := os.ReadFile("config.json")
	if err := json.Unmarshal(raw, &cfg); err != nil {
		panic(err)
	}
	do := func(file string, data any) {
		f, _ := os.Open(file)
		s := bufio.NewScanner(f)
		for s.Scan() {
			text, err := run(s.Text(), data)
			m := map[string]any{"template": s.Text()}
			if err != nil {
				m["error"] = err.Error()
			} else {
				m["output"] = text
			}
			b := new(bytes.Buffer)
			enc := json.NewEncoder(b)
			enc.SetEscapeHTML(false)
			enc.Encode(m)
			fmt.Print(b.String())
		}
	}
	if os.Args[1] == "output" {
		do("output.txt", out)
	} else {
		do("config.txt", &cfg)
	}
}
