package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// document is what the page needs of configs/openapi.json.
type document struct {
	Info struct {
		Description string `json:"description"`
	} `json:"info"`
	Paths map[string]map[string]struct {
		Summary     string      `json:"summary"`
		Description string      `json:"description"`
		Parameters  []parameter `json:"parameters"`
		RequestBody *struct {
			Content map[string]struct {
				Schema apiSchema `json:"schema"`
			} `json:"content"`
		} `json:"requestBody"`
		Responses map[string]struct {
			Description string `json:"description"`
			Content     map[string]struct {
				Schema apiSchema `json:"schema"`
			} `json:"content"`
		} `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas    map[string]apiSchema `json:"schemas"`
		Parameters map[string]parameter `json:"parameters"`
	} `json:"components"`
}

type parameter struct {
	Ref         string    `json:"$ref"`
	Name        string    `json:"name"`
	In          string    `json:"in"`
	Description string    `json:"description"`
	Schema      apiSchema `json:"schema"`
}

type apiSchema struct {
	Ref         string               `json:"$ref"`
	Type        any                  `json:"type"`
	Description string               `json:"description"`
	Properties  map[string]apiSchema `json:"properties"`
	Required    []string             `json:"required"`
	Items       *apiSchema           `json:"items"`
	Enum        []any                `json:"enum"`
	Example     any                  `json:"example"`
}

// named is the name that a reference ends with; "" for none.
func named(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }

// link is the schema as a cell says it.
func (s apiSchema) link() string {
	switch {
	case s.Ref != "":
		return fmt.Sprintf("[%s](#%s)", named(s.Ref), strings.ToLower(named(s.Ref)))
	case s.Items != nil:
		return "array of " + s.Items.link()
	case s.Type == nil:
		return ""
	}
	return fmt.Sprint(s.Type)
}

// values is what one value may be, if there is a list.
func (s apiSchema) values() string {
	var list []string
	for _, v := range s.Enum {
		list = append(list, fmt.Sprintf("`%v`", v))
	}
	if len(list) == 0 {
		return s.Description
	}
	return strings.TrimSpace(s.Description + " One of " + strings.Join(list, ", ") + ".")
}

// page writes docs/api.md.
func (d *document) page() string {
	var b strings.Builder
	b.WriteString("# Admin API\n\n" + generated + "\n" + d.Info.Description + `

[configs/openapi.json](../configs/openapi.json) is the same for programs. The examples use the admin socket, which the log and
` + "`xoauth2-proxy check`" + ` name; over the address it is ` + "`curl -H 'Authorization: Bearer TOKEN' http://127.0.0.1:9090/...`" + `.

## Routes
`)
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(d.Paths[path])) {
			d.route(&b, strings.ToUpper(method), path)
		}
	}
	b.WriteString("\n## Objects\n")
	for _, name := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		d.object(&b, name)
	}
	return b.String()
}

func (d *document) route(b *strings.Builder, method, path string) {
	op := d.Paths[path][strings.ToLower(method)]
	fmt.Fprintf(b, "\n### `%s %s`\n\n%s.", method, path, strings.TrimSuffix(op.Summary, "."))
	if op.Description != "" {
		b.WriteString(" " + op.Description)
	}
	b.WriteString("\n")
	if len(op.Parameters) > 0 {
		b.WriteString("\n| Parameter | In | Type | Means |\n| --- | --- | --- | --- |\n")
	}
	query := ""
	for _, p := range op.Parameters {
		if p.Ref != "" {
			p = d.Components.Parameters[named(p.Ref)]
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", p.Name, p.In, p.Schema.link(), p.Description)
		if p.Name == "dry_run" { // an example that is copied changes nothing
			query = "?dry_run=true"
		}
	}
	body := ""
	if op.RequestBody != nil {
		schema := op.RequestBody.Content["application/json"].Schema
		fmt.Fprintf(b, "\nThe body is %s.\n", schema.link())
		example, _ := json.Marshal(d.example(schema))
		body = " -d '" + string(example) + "'"
	}
	b.WriteString("\n| Status | Means | Body |\n| --- | --- | --- |\n")
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		r := op.Responses[status]
		shape := ""
		for _, media := range slices.Sorted(maps.Keys(r.Content)) {
			if shape = r.Content[media].Schema.link(); media != "application/json" {
				shape = media
			}
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", status, r.Description, shape)
	}
	verb := ""
	if method != "GET" {
		verb = " -X " + method
	}
	url := strings.NewReplacer("{email}", "user@example.com").Replace(path) + query
	fmt.Fprintf(b, "\n    curl --unix-socket /run/xoauth2-proxy/admin.sock%s 'http://localhost%s'%s\n", verb, url, body)
}

// example is a value of the schema with what is needed.
func (d *document) example(s apiSchema) any {
	if s.Ref != "" {
		s = d.Components.Schemas[named(s.Ref)]
	}
	switch {
	case s.Example != nil:
		return s.Example
	case s.Items != nil:
		return []any{d.example(*s.Items)}
	case len(s.Enum) > 0:
		return s.Enum[0]
	case len(s.Properties) > 0:
		o := map[string]any{}
		for _, name := range s.Required {
			o[name] = d.example(s.Properties[name])
			switch name {
			case "email":
				o[name] = "user@example.com"
			case "provider":
				o[name] = "outlook"
			}
		}
		return o
	}
	return "..."
}

func (d *document) object(b *strings.Builder, name string) {
	s := d.Components.Schemas[name]
	fmt.Fprintf(b, "\n### %s\n\n", name)
	if s.Description != "" {
		b.WriteString(s.Description + "\n\n")
	}
	b.WriteString("| Field | Type | Always there | Means |\n| --- | --- | --- | --- |\n")
	for _, field := range slices.Sorted(maps.Keys(s.Properties)) {
		always := "no"
		if slices.Contains(s.Required, field) {
			always = "yes"
		}
		p := s.Properties[field]
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", field, p.link(), always, p.values())
	}
}
